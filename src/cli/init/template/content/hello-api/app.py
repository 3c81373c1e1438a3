"""A small API: says hello, and which Python says it."""

import platform

from fastapi import FastAPI

app = FastAPI(title="Hello")


@app.get("/")
def hello(name: str = "world") -> dict[str, str]:
    return {"message": f"Hello, {name}!", "python": platform.python_version()}
