"""A user as services have one: no home, nothing to write but what it is given, and an installation that it may only read."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from numba.core.caching import UserProvidedCacheLocator

NOBODY = 65534
CHECKOUT = Path(__file__).parents[2]
PACKAGES = ("imagetwins", "flows", "tasks", "deployments")
PROGRAM = "from imagetwins.cli.app import main; main()"

# May read all, so that it finds Python and the packages wherever a tester has them, but write nothing of others.
AS_NOBODY = [
    *["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"],
    *[
        "--inh-caps=-all,+dac_read_search",
        "--ambient-caps=-all,+dac_read_search",
        "--bounding-set=-all,+dac_read_search",
    ],
]


name_directory = UserProvidedCacheLocator.get_suitable_cache_subpath
"""The name of the directory in numba's cache for the functions of a file."""


def why_not():
    """Why root cannot become such a user here; "" if it can, or if this is not root, who need not."""
    if os.geteuid() != 0:
        return ""
    if not shutil.which("setpriv"):
        return "to become another user needs the program setpriv"
    tried = subprocess.run([*AS_NOBODY, "true"], capture_output=True, text=True, check=False)
    return f"no other user here: {tried.stderr.strip()}" if tried.returncode else ""


class ServiceUser:
    """`home` is what it may write. The installation is a copy of our packages: another's, or, where we are not root, read-only."""

    def __init__(self, home: Path):
        self.home = home
        self.installation = home.parent / "installation"
        for package in PACKAGES:
            shutil.copytree(
                CHECKOUT / package, self.installation / package, ignore=shutil.ignore_patterns("__pycache__")
            )
        self.home.mkdir()
        if os.geteuid() != 0:
            for path in (self.installation, *self.installation.rglob("*")):
                path.chmod(path.stat().st_mode & 0o555)

    def own(self):
        """Give the user its home with all that is in it."""
        if os.geteuid() == 0:
            for path in (self.home, *self.home.rglob("*")):
                os.chown(path, NOBODY, NOBODY)

    def bring_kernels(self, cache):
        """Put what the checkout has compiled into `cache`, as if the installation had compiled it: that would take 15 s."""
        for room in ("ssim", "ssim/bounds"):
            theirs, ours = (str(place / "imagetwins" / room / "__init__.py") for place in (CHECKOUT, self.installation))
            for compiled in (CHECKOUT / "imagetwins/ssim/__pycache__").glob(f"*/{name_directory(theirs)}"):
                shutil.copytree(compiled, cache / compiled.parent.name / name_directory(ours))

    def imagetwins(self, *arguments, **environment):
        """Run our command line as this user, with next to no environment."""
        known = {"HOME": "/nonexistent", "PATH": os.environ["PATH"], "TMPDIR": str(self.home)}
        return subprocess.run(
            [*(AS_NOBODY if os.geteuid() == 0 else []), sys.executable, "-c", PROGRAM, *map(str, arguments)],
            env=known | {"PYTHONPATH": str(self.installation)} | environment,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
