"""Spatial Pooler: sparse codes of binary patterns, learned without labels."""

from biomem.models.htm.spatial_pooler.model import SpatialPooler as SpatialPooler
from biomem.models.htm.spatial_pooler.model import SpatialPoolerOutput as SpatialPoolerOutput
from biomem.models.htm.spatial_pooler.model import SpatialPoolerState as SpatialPoolerState
from biomem.models.htm.spatial_pooler.params import SpatialPoolerParams as SpatialPoolerParams

__all__ = ["SpatialPooler", "SpatialPoolerOutput", "SpatialPoolerParams", "SpatialPoolerState"]
