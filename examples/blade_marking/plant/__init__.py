"""The simulated plant of the blade-marking cell: coupler, marker and camera behind real interfaces.

One process that the cell reaches only as it would reach hardware: Modbus TCP, Telesis over TCP and
frames in shared memory. It shares no code with the cell but the frame ring, so that both ends
are independent readings of the protocols, and it keeps a log of its own as an independent witness.
"""

from plant.process import PlantError, PlantProcess, launch

__all__ = ["PlantError", "PlantProcess", "launch"]
