"""A small harmonic tide model of Gullhaven, a harbour that exists only in this repository.

A tide is a sum of cosines, one for each way the moon and the sun pull. The speeds below are the real ones, so springs
fall after full and new moons; the amplitudes and phases are invented. Do not take a boat out on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from math import cos, radians, sin

HARBOUR = "Gullhaven"
MEAN_LEVEL = 3.20  # metres above chart datum
EPOCH = datetime(1899, 12, 31, 12, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Constituent:
    """One cosine: its amplitude in metres, its phase lag in degrees, and how often it turns with sun, moon and perigee."""

    name: str
    amplitude: float
    lag: float
    hour: int  # of the mean sun's hour angle
    moon: int  # of the moon's mean longitude
    sun: int  # of the sun's mean longitude
    perigee: int  # of the lunar perigee's longitude


CONSTITUENTS = (
    Constituent("M2", 1.98, 162, 2, -2, 2, 0),
    Constituent("S2", 0.68, 207, 2, 0, 0, 0),
    Constituent("N2", 0.38, 139, 2, -3, 2, 1),
    Constituent("K2", 0.19, 205, 2, 0, 2, 0),
    Constituent("K1", 0.11, 98, 1, 0, 1, 0),
    Constituent("O1", 0.10, 352, 1, -2, 1, 0),
    Constituent("M4", 0.12, 214, 4, -4, 4, 0),
)

# Degrees an hour of the four angles that every constituent is made of.
HOUR_RATE, MOON_RATE, SUN_RATE, PERIGEE_RATE = 15.0, 0.5490165, 0.0410686, 0.0046418


@dataclass(frozen=True)
class Turn:
    """High or low water: when, how high (metres above chart datum), and which of the two."""

    when: datetime
    height: float
    kind: str


def _angle(part: Constituent, when: datetime) -> float:
    """Where the constituent stands at that moment, in degrees."""
    centuries = (when - EPOCH).total_seconds() / (36525 * 86400)
    hours = (when - when.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds() / 3600
    moon = 277.0248 + 481267.8906 * centuries
    sun = 280.1895 + 36000.7689 * centuries
    perigee = 334.3853 + 4069.0340 * centuries
    hour_angle = 15.0 * hours + 180.0
    return part.hour * hour_angle + part.moon * moon + part.sun * sun + part.perigee * perigee - part.lag


def _speed(part: Constituent) -> float:
    """Degrees an hour."""
    return part.hour * HOUR_RATE + part.moon * MOON_RATE + part.sun * SUN_RATE + part.perigee * PERIGEE_RATE


def height(when: datetime) -> float:
    """Metres above chart datum at a moment in UTC."""
    return MEAN_LEVEL + sum(part.amplitude * cos(radians(_angle(part, when))) for part in CONSTITUENTS)


def rate(when: datetime) -> float:
    """How fast the water rises, in metres an hour; negative while it falls."""
    return -sum(
        part.amplitude * radians(_speed(part)) * sin(radians(_angle(part, when))) for part in CONSTITUENTS
    )


def curve(day: date, minutes: int = 10) -> list[tuple[datetime, float]]:
    """The height through one day (UTC), midnight to midnight."""
    start = datetime.combine(day, time(), tzinfo=timezone.utc)
    moments = (start + timedelta(minutes=step) for step in range(0, 24 * 60 + 1, minutes))
    return [(when, height(when)) for when in moments]


def turns(day: date) -> list[Turn]:
    """The high and low waters of one day (UTC), in order."""
    start = datetime.combine(day, time(), tzinfo=timezone.utc)
    found = []
    for step in range(0, 24 * 6):
        before, after = start + timedelta(minutes=10 * step), start + timedelta(minutes=10 * (step + 1))
        rising, falling = rate(before) > 0, rate(after) <= 0
        if rising == falling:
            when = _between(before, after, rising)
            found.append(Turn(when, height(when), "high" if rising else "low"))
    return found


def _between(before: datetime, after: datetime, rising: bool) -> datetime:
    """The moment between the two at which the water stands still."""
    while after - before > timedelta(seconds=10):
        middle = before + (after - before) / 2
        if (rate(middle) > 0) == rising:
            before = middle
        else:
            after = middle
    return before
