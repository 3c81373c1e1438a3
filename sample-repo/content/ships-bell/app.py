"""What the ship's bell says: a clock that counts in half hours and watches, as it was done at sea for three centuries."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from fastapi import FastAPI, Query
from fastapi.responses import HTMLResponse

app = FastAPI(title="Ship's bell", version="2.1.0", docs_url=None, redoc_url=None)

# Hour at which each watch begins; the dog watches are short, so that nobody stands the same watch two nights running.
WATCHES = (
    (0, "middle watch"),
    (4, "morning watch"),
    (8, "forenoon watch"),
    (12, "afternoon watch"),
    (16, "first dog watch"),
    (18, "last dog watch"),
    (20, "first watch"),
)


def bells(hour: int, minute: int) -> tuple[int, str]:
    """How many bells were struck last, and in which watch (the watch that ends at eight bells has them)."""
    halves = hour * 2 + minute // 30
    if halves == 0:
        return 8, "first watch"
    # The last dog watch begins its count anew at 18:30: one, two, three, and then eight at 20:00.
    count = 8 if halves == 40 else halves - 36 if 36 < halves < 40 else (halves - 1) % 8 + 1
    started = [name for start, name in WATCHES if start * 2 < halves]
    return count, started[-1]


@app.get("/api/bells")
def now(offset: int = Query(default=0, ge=-12, le=14, description="hours east of Greenwich")) -> dict:
    """The bell as it was struck last on a ship that keeps that time."""
    moment = datetime.now(timezone.utc) + timedelta(hours=offset)
    count, watch = bells(moment.hour, moment.minute)
    return {"time": f"{moment:%H:%M}", "bells": count, "watch": watch, "struck": strokes(count)}


@app.get("/api/day")
def whole_day() -> list[dict]:
    """Every bell of a day."""
    table = []
    for half in range(48):
        count, watch = bells(half // 2, 30 * (half % 2))
        table.append({"time": f"{half // 2:02}:{30 * (half % 2):02}", "bells": count, "watch": watch})
    return table


def strokes(count: int) -> str:
    """Bells are struck in pairs: five are "ding-ding, ding-ding, ding"."""
    return ", ".join(["ding-ding"] * (count // 2) + ["ding"] * (count % 2))


@app.get("/", response_class=HTMLResponse, include_in_schema=False)
def page(offset: int = Query(default=0, ge=-12, le=14)) -> str:
    state = now(offset)
    row = "".join(
        f'<use href="#bell" x="{48 * place + (0 if place % 2 == 0 else -8)}" class="{"rung" if place < state["bells"] else "still"}"/>'
        for place in range(8)
    )
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="60"><title>{state["bells"]} bells</title>
<style>
 body {{ font: 1.1rem/1.5 Georgia, serif; background: #fdf6e9; color: #3d2b1f; text-align: center; margin: 10vh 1rem }}
 h1 {{ font-weight: normal; font-size: 2.6rem; margin: 0 }} svg {{ width: min(32rem, 100%) }}
 .rung {{ fill: #c28f2c }} .still {{ fill: #eadfca }} .rung:hover {{ fill: #e0ac45 }} small {{ color: #8a7461 }}
</style></head><body>
<svg viewBox="0 0 384 60" role="img" aria-label="{state["bells"]} bells"><defs>
<path id="bell" d="M24 6 a4 4 0 0 1 4 4 c8 3 9 12 10 22 l4 8 H6 l4 -8 c1 -10 2 -19 10 -22 a4 4 0 0 1 4 -4 M19 43 h10 a5 5 0 0 1 -10 0"/>
</defs>{row}</svg>
<h1>{state["bells"]} bell{"s" if state["bells"] != 1 else ""} of the {state["watch"]}</h1>
<p>{state["struck"]}</p><p><small>{state["time"]} by the ship's clock ({offset:+d} h from Greenwich)</small></p>
</body></html>"""
