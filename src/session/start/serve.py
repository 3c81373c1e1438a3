"""Serves the object of a Python module: waitress for WSGI and Dash, uvicorn for ASGI.

Finding that object is all that is done here: the one that is named, or the first of
app, application, create_app, make_app. A function that can be called without arguments is
a factory, and what it returns is served.
"""

import importlib
import inspect
import os
import signal
import sys

NAMES = ("app", "application", "create_app", "make_app")


def find(module_name, object_name):
    """The object to serve, factories called."""
    module = importlib.import_module(module_name)
    if object_name != "-":
        target = module
        for part in object_name.removesuffix("()").split("."):
            if not hasattr(target, part):
                sys.exit(f"the module {module_name} has no object {object_name}: check the item's entrypoint")
            target = getattr(target, part)
        return made(target, called=object_name.endswith("()"))
    for name in NAMES:
        if hasattr(module, name):
            return made(getattr(module, name), called=name.startswith(("create", "make")))
    sys.exit(f"the module {module_name} has none of {', '.join(NAMES)}: name the object in the item's entrypoint")


def made(target, called):
    """The target, or what it returns if it is a factory."""
    if not called and inspect.isroutine(target):
        try:
            inspect.signature(target).bind()
            called = True
        except (TypeError, ValueError):
            called = False
    return target() if called else target


def main(kind, module_name, object_name, address, port):
    """Serves until it is told to stop."""
    # The directory of this script comes first otherwise, and it holds nothing of the item.
    sys.path[0] = os.getcwd()
    target = find(module_name, object_name)
    if kind == "asgi":
        import uvicorn

        uvicorn.run(target, host=address, port=int(port))
        return
    import waitress

    # A Dash object holds the Flask application that is its WSGI side.
    if kind == "dash" or not callable(target):
        target = getattr(target, "server", target)
    if not callable(target):
        sys.exit(f"{module_name} offers a {type(target).__name__}, which is no WSGI application: check the item's entrypoint")
    # What waitress understands as the wish to end: what it is answering is answered first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    waitress.serve(target, host=address, port=int(port), ident=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
