"""Makes a wheel of the package in `python/` and of an engine that is already built.

    wheel.py lib_engine.so FOLDER

What is in it is what maturin would put there, but for what only an index shows. Nothing
is compressed: it is installed where it is made, and thrown away.
"""

import hashlib
import pathlib
import sys
import sysconfig
import tomllib
import zipfile
from base64 import urlsafe_b64encode

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "python/thalweg"


def main(engine: str, folder: str) -> None:
    project = tomllib.loads((ROOT / "python/pyproject.toml").read_text())["project"]
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    tag = f"cp310-abi3-{sysconfig.get_platform().replace('-', '_')}"
    info = f"thalweg-{version}.dist-info"
    members = {
        **{f"thalweg/{path.relative_to(PACKAGE)}": path.read_bytes() for path in sources()},
        "thalweg/_engine.abi3.so": pathlib.Path(engine).read_bytes(),
        f"{info}/METADATA": metadata(project, version).encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(),
        f"{info}/entry_points.txt": entry_points(project).encode(),
    }
    members[f"{info}/RECORD"] = record(members, f"{info}/RECORD").encode()
    with zipfile.ZipFile(pathlib.Path(folder) / f"thalweg-{version}-{tag}.whl", "w") as wheel:
        for name, content in members.items():
            wheel.writestr(name, content)


def sources() -> list[pathlib.Path]:
    return [path for kind in ("*.py", "*.pyi", "py.typed") for path in PACKAGE.rglob(kind)]


def metadata(project: dict, version: str) -> str:
    needed = "".join(f"Requires-Dist: {needed}\n" for needed in project.get("dependencies", []))
    return (
        f"Metadata-Version: 2.1\nName: thalweg\nVersion: {version}\n"
        f"Requires-Python: {project['requires-python']}\n{needed}"
    )


def entry_points(project: dict) -> str:
    groups = {"console_scripts": project["scripts"], **project.get("entry-points", {})}
    lines = ([f"[{group}]", *(f"{name} = {place}" for name, place in of.items())] for group, of in groups.items())
    return "\n".join(line for group in lines for line in group) + "\n"


def record(members: dict[str, bytes], itself: str) -> str:
    def line(name: str, content: bytes) -> str:
        digest = urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        return f"{name},sha256={digest},{len(content)}\n"

    return "".join(line(name, content) for name, content in members.items()) + f"{itself},,\n"


if __name__ == "__main__":
    main(*sys.argv[1:])
