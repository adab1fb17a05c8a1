"""`python -m bench.tracking.server URI PORT`: MLflow's pages over one store, on 127.0.0.1, in this one process.

`mlflow ui` imports everything twice and starts four more processes, which outlive it where it is killed.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from bench.runner.executors import linux


def main(uri: str, port: int) -> NoReturn:
    linux.die_with_parent()
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "_MLFLOW_SGI_NAME": "uvicorn"}
    import uvicorn  # comes with mlflow
    from mlflow.server.constants import BACKEND_STORE_URI_ENV_VAR, REGISTRY_STORE_URI_ENV_VAR
    from mlflow.server.fastapi_app import app

    os.environ |= {BACKEND_STORE_URI_ENV_VAR: uri, REGISTRY_STORE_URI_ENV_VAR: uri}
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
