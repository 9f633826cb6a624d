"""A camera that leaves its frames in shared memory."""

from cellwright.io.cameras.shared_memory.camera import SharedMemoryCamera, SharedMemoryCameraOptions

__all__ = [
    "SharedMemoryCamera",
    "SharedMemoryCameraOptions",
]
