"""Until 1.0: the old name of `cellwright.tasks.api.plant`."""

from cellwright.tasks.api.plant import PlantDevices, PlantModel, PlantOptions, PlantTime

__all__ = ["PlantDevices", "PlantModel", "PlantOptions", "PlantTime"]
