"""`make image`: build the image, and start a VM with every process of docker-compose.yml, run from the image.

This needs root, and `debootstrap`, `buildah` and `crun`, which are Debian packages. No registry is asked: the base image is
a Debian that `debootstrap` makes, whose Python has the version that the Dockerfile names.
The containers are started by `crun` as docker-compose.yml has them: command, variables, user, read-only file system, no
capabilities. Database, broker and cloud are the ones of `make up`; they stand in for the images of PostgreSQL and Redis.
All of it runs in a network namespace of its own with the ports of the compose file, and ends with it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.bare_debian import REPOSITORY, StepFailed

from .image import Image
from .pod import Pod

# Set in the process that is in the namespaces.
INSIDE = "BUILT_IMAGE_INSIDE"


def main() -> int:
    """Build the image, then run it in namespaces of its own, and print a line for each step."""
    parser = argparse.ArgumentParser(
        prog="make image", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("/var/tmp/portal-image"), help="where it is built"
    )
    parser.add_argument("--keep", action="store_true", help="use the base image that is there, and leave all")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("This needs root: it makes a Debian system and containers. Run: sudo make image")
    for program in ("debootstrap", "buildah", "crun"):
        if shutil.which(program) is None:
            sys.exit(f"There is no {program}: apt-get install debootstrap buildah crun")
    if INSIDE in os.environ:
        Pod(arguments.folder).try_out()
        return 0
    image = Image(arguments.folder)
    image.build(keep=arguments.keep)
    image.check_content()
    unshare = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"]
    command = [*unshare, sys.executable, "-m", "tests.containers", *sys.argv[1:]]
    code = subprocess.run(command, cwd=REPOSITORY, env={**os.environ, INSIDE: "1"}, check=False).returncode
    if not arguments.keep:
        image.remove()
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except StepFailed as failed:
        sys.exit(f"A step failed: {shlex.join(failed.args[0])}")
