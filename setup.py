"""Maps the top-level rooms to the import name ``cellwright`` and builds the C hot paths.

The rest of the packaging lives in ``pyproject.toml``; only what setuptools cannot express there
(one namespace over several top-level folders, the cffi module) is here.
"""

from setuptools import find_packages, setup

ROOMS = ("native", "io", "tasks", "mes", "opcua_model", "web", "runtime")
PACKAGES = [
    package
    for room in ROOMS
    for package in (room, *(f"{room}.{inner}" for inner in find_packages(room)))
]

setup(
    packages=[f"cellwright.{package}" for package in PACKAGES],
    package_dir={f"cellwright.{package}": package.replace(".", "/") for package in PACKAGES},
    include_package_data=False,
    package_data={
        f"cellwright.{package}": ["py.typed", "*.pyi", "*.lua", "*.mako", "*.csv", "*.yaml", "*.j2"]
        for package in PACKAGES
    },
    cffi_modules=["native/build_native.py:ffibuilder"],
)
