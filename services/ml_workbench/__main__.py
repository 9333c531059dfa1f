"""`python -m services.ml_workbench`."""

from services.ml_workbench.compose import compose
from services.ml_workbench.config import Settings
from services.runtime.run import run

if __name__ == "__main__":
    run("fxmesh.workbench.v1.WorkbenchService", Settings, compose)
