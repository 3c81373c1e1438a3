"""The lights of Gullhaven and its approaches: what a chart prints, what it means, and how it looks at night."""

from __future__ import annotations

from flask import Flask, Response, abort, jsonify, render_template, request

import lights

app = Flask(__name__)

LIGHTS = {
    "gull-rock": ("Gull Rock", "Fl(3) W 15s 28m 19M"),
    "north-mole": ("North mole head", "Fl R 5s 9m 6M"),
    "south-mole": ("South mole head", "Fl G 5s 9m 6M"),
    "leading-front": ("Leading light, front", "Iso W 4s 12m 10M"),
    "leading-rear": ("Leading light, rear", "Oc W 8s 24m 12M"),
    "fairway": ("Fairway buoy", "Mo(A) W 8s"),
    "north-cardinal": ("Skerry, north cardinal", "VQ W"),
    "east-cardinal": ("Skerry, east cardinal", "Q(3) W 10s"),
    "south-cardinal": ("Skerry, south cardinal", "Q(6)+LFl W 15s"),
    "west-cardinal": ("Skerry, west cardinal", "Q(9) W 15s"),
}


@app.get("/")
def page() -> str:
    """All lights, flashing."""
    return render_template("index.html", lights=[describe(key) for key in LIGHTS], drawing=drawing)


@app.get("/api/lights")
def every_light() -> Response:
    """The list of lights."""
    return jsonify([describe(key) for key in LIGHTS])


@app.get("/api/lights/<key>")
def one_light(key: str) -> Response:
    """One light of the list."""
    if key not in LIGHTS:
        abort(404, f"there is no light {key!r} here; /api/lights lists them")
    return jsonify(describe(key))


@app.get("/api/decode")
def decode() -> tuple[Response, int] | Response:
    """Any character, for example /api/decode?character=Fl(2) WRG 10s 15m 12M."""
    text = request.args.get("character", "")
    try:
        return jsonify(explain(text))
    except lights.Unreadable as problem:
        return jsonify(error=str(problem)), 400


@app.get("/lights/<key>.svg")
def picture(key: str) -> Response:
    """The light as an animated picture."""
    if key not in LIGHTS:
        abort(404, f"there is no light {key!r} here; /api/lights lists them")
    return Response(drawing(LIGHTS[key][1]), mimetype="image/svg+xml")


def describe(key: str) -> dict:
    """A light of the list, with what its character means."""
    name, character = LIGHTS[key]
    return {"key": key, "name": name, **explain(character)}


def explain(text: str) -> dict:
    """A character in words and in seconds."""
    light = lights.read(text)
    return {
        "character": text,
        "words": lights.words(light),
        "phases": [{"lit": lit, "seconds": round(seconds, 2)} for lit, seconds in lights.phases(light) if seconds > 0],
    }


def drawing(text: str) -> str:
    """A light as SVG that flashes in its own rhythm; a light of several colours shows its sectors."""
    light = lights.read(text)
    steps = [(lit, seconds) for lit, seconds in lights.phases(light) if seconds > 0]
    period = sum(seconds for _, seconds in steps)
    times, values, elapsed = [], [], 0.0
    for lit, seconds in steps:
        times.append(f"{elapsed / period:.4f}")
        values.append("1" if lit else "0.06")
        elapsed += seconds
    colours = {"W": "#fff6d5", "R": "#ff5a4f", "G": "#4be08a", "Y": "#ffd23f"}
    lamps = "".join(
        f'<circle cx="{60 + 24 * (place - (len(light.colours) - 1) / 2):.0f}" cy="42" r="{16 if len(light.colours) == 1 else 10}" '
        f'fill="{colours[colour]}" filter="url(#glow)"/>'
        for place, colour in enumerate(light.colours)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 84" role="img">'
        '<defs><filter id="glow" x="-100%" y="-100%" width="300%" height="300%"><feGaussianBlur stdDeviation="5" result="b"/>'
        '<feMerge><feMergeNode in="b"/><feMergeNode in="SourceGraphic"/></feMerge></filter></defs>'
        '<rect width="120" height="84" fill="#0a1a2f"/><path d="M0 70 Q15 66 30 70 T60 70 T90 70 T120 70 V84 H0Z" fill="#12304f"/>'
        f'<g>{lamps}<animate attributeName="opacity" calcMode="discrete" dur="{period:g}s" repeatCount="indefinite" '
        f'keyTimes="{";".join(times)}" values="{";".join(values)}"/></g></svg>'
    )
