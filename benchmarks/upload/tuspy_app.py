"""tuspyserver, as its documentation starts it, for uvicorn; its files lie in FILES_DIR."""

import os

from fastapi import FastAPI
from tuspyserver import create_tus_router

app = FastAPI()
app.include_router(create_tus_router(prefix="files", files_dir=os.environ["FILES_DIR"]))
