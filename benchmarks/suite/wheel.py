"""The size of the package."""
import io
import zipfile
from pathlib import Path


class Wheel:
    """How large is the wheel, and how large what it installs?

    asv hands no wheel on, so the files that are in it are packed again as they are there.
    """

    unit = "bytes"

    def files(self):
        import nnfast

        folder = Path(nnfast.__file__).parent
        return {path: path.relative_to(folder) for path in folder.rglob("*") if path.suffix in (".py", ".pxd", ".so", ".pyd")}

    def track_wheel(self):
        memory = io.BytesIO()
        with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, name in self.files().items():
                archive.write(path, Path("nnfast") / name)
        return len(memory.getvalue())

    def track_installed(self):
        return sum(path.stat().st_size for path in self.files())
