"""Wave-RNN: convolutional rings, locally connected rings, and the identity RNN."""

from biomem.models.wave_rnn.model import WaveRNN as WaveRNN
from biomem.models.wave_rnn.model import WaveRNNOutput as WaveRNNOutput
from biomem.models.wave_rnn.model import WaveRNNState as WaveRNNState
from biomem.models.wave_rnn.params import WaveRNNParams as WaveRNNParams
from biomem.models.wave_rnn.velocity import WaveVelocity as WaveVelocity
from biomem.models.wave_rnn.velocity import kernel_velocity as kernel_velocity
from biomem.models.wave_rnn.velocity import wave_velocity as wave_velocity

__all__ = [
    "WaveRNN",
    "WaveRNNOutput",
    "WaveRNNParams",
    "WaveRNNState",
    "WaveVelocity",
    "kernel_velocity",
    "wave_velocity",
]
