"""The graph of primitives: the form that leaves for hardware, and that imported files become."""

from biomem.network.graph.discretisation import TOOLS as TOOLS
from biomem.network.graph.discretisation import Discretisation as Discretisation
from biomem.network.graph.model import Graph as Graph
from biomem.network.graph.nodes import IF as IF
from biomem.network.graph.nodes import LI as LI
from biomem.network.graph.nodes import LIF as LIF
from biomem.network.graph.nodes import Affine as Affine
from biomem.network.graph.nodes import AvgPool2d as AvgPool2d
from biomem.network.graph.nodes import Conv2d as Conv2d
from biomem.network.graph.nodes import CubaLI as CubaLI
from biomem.network.graph.nodes import CubaLIF as CubaLIF
from biomem.network.graph.nodes import Delay as Delay
from biomem.network.graph.nodes import Flatten as Flatten
from biomem.network.graph.nodes import I as I
from biomem.network.graph.nodes import Input as Input
from biomem.network.graph.nodes import Output as Output
from biomem.network.graph.nodes import Scale as Scale
from biomem.network.graph.nodes import SumPool2d as SumPool2d
from biomem.network.graph.nodes import Threshold as Threshold
from biomem.network.graph.params import GraphParams as GraphParams
