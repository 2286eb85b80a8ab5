"""The size of the package."""
import io
import zipfile
from pathlib import Path


class Wheel:
    """How large is the wheel, and how large are the installed files?

    asv does not give access to the wheel, so its files are compressed again.
    """

    unit = "bytes"

    def files(self):
        import nnfast

        folder = Path(nnfast.__file__).parent
        suffixes = ".py", ".pxd", ".so", ".pyd"
        return {path: path.relative_to(folder) for path in folder.rglob("*") if path.suffix in suffixes}

    def track_wheel(self):
        memory = io.BytesIO()
        with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, name in self.files().items():
                archive.write(path, Path("nnfast") / name)
        return len(memory.getvalue())

    def track_installed(self):
        return sum(path.stat().st_size for path in self.files())
