"""A flow run in a process of its own: `python -m deployments.engine MODULE:FLOW`, as the worker of `imagetwins serve` starts it.

That is `python -m prefect.engine`, once the flow's module has been imported from where it is installed, so that Prefect need
not fetch it.
"""

import gc
import importlib
import os
import runpy
import sys
from contextlib import suppress

from imagetwins.runtime.collector import paused_collector


def main() -> None:
    """Run the flow run that PREFECT__FLOW_RUN_ID names, of the flow that the command line names."""
    entrypoint = sys.argv[1]
    # A session of its own: Ctrl-C in the terminal reaches the worker, which asks its runs to stop.
    os.setsid()
    with paused_collector():
        # What fails here fails in Prefect again, which writes it into the run's log.
        with suppress(Exception):
            importlib.import_module(entrypoint.partition(":")[0])
        # At its end Python would look through it.
        gc.freeze()
    os.environ["PREFECT__FLOW_ENTRYPOINT"] = entrypoint
    sys.argv = ["prefect.engine"]
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
