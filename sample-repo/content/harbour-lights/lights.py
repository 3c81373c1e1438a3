"""Reads the character of a light as charts print it ("Fl(3) W 15s 28m 19M"), says it in words, and times its flashes."""

from __future__ import annotations

import re
from dataclasses import dataclass

RHYTHMS = {
    "F": "fixed",
    "Fl": "flashing",
    "LFl": "long-flashing",
    "Oc": "occulting",
    "Iso": "isophase",
    "Q": "quick-flashing",
    "VQ": "very quick-flashing",
    "Mo": "Morse",
}
COLOURS = {"W": "white", "R": "red", "G": "green", "Y": "yellow"}
MORSE = {
    "A": ".-", "B": "-...", "C": "-.-.", "D": "-..", "E": ".", "F": "..-.", "G": "--.", "H": "....", "I": "..",
    "J": ".---", "K": "-.-", "L": ".-..", "M": "--", "N": "-.", "O": "---", "P": ".--.", "Q": "--.-", "R": ".-.",
    "S": "...", "T": "-", "U": "..-", "V": "...-", "W": ".--", "X": "-..-", "Y": "-.--", "Z": "--..",
}  # fmt: skip

PATTERN = re.compile(
    r"""^\s*(?P<rhythm>LFl|Fl|Oc|Iso|VQ|Q|Mo|F)\.?
        \s*(?:\((?P<group>[0-9]{1,2}(?:\+[0-9]{1,2})*|[A-Z])\))?
        \s*(?P<long>\+\s*LFl\.?)?
        \s*(?P<colours>[WRGY]{0,3})
        \s*(?:(?P<period>[0-9]{1,3}(?:\.[0-9])?)s)?
        \s*(?:(?P<elevation>[0-9]{1,3})m)?
        \s*(?:(?P<range>[0-9]{1,2})M)?\s*$""",
    re.VERBOSE,
)


class Unreadable(ValueError):
    """The text is not the character of a light."""


@dataclass(frozen=True)
class Character:
    """What a chart says about a light."""

    rhythm: str
    groups: tuple[int, ...]
    letter: str | None
    long_flash: bool
    colours: str
    period: float
    elevation: int | None
    range: int | None


def read(text: str) -> Character:
    """Reads a character; the period is made up where none is printed (quick lights, fixed lights)."""
    match = PATTERN.match(text)
    if match is None:
        raise Unreadable(f"{text!r} is not the character of a light; an example of one is 'Fl(3) W 15s 28m 19M'")
    group = match["group"] or "1"
    letter = group if group.isalpha() else None
    if (match["rhythm"] == "Mo") != (letter is not None):
        raise Unreadable(f"{text!r}: a letter in brackets goes with Mo, and Mo with a letter, as in 'Mo(A) 8s'")
    groups = (1,) if letter else tuple(int(part) for part in group.split("+"))
    if sum(groups) == 0 or sum(groups) > 20:
        raise Unreadable(f"{text!r}: a group has 1 to 20 flashes")
    character = Character(
        rhythm=match["rhythm"],
        groups=groups,
        letter=letter,
        long_flash=match["long"] is not None,
        colours=match["colours"] or "W",
        period=float(match["period"] or 0),
        elevation=int(match["elevation"]) if match["elevation"] else None,
        range=int(match["range"]) if match["range"] else None,
    )
    phases(character)  # refuses a group that does not fit its period
    return character


def words(light: Character) -> str:
    """The character as one would say it."""
    said = RHYTHMS[light.rhythm]
    if light.letter:
        said += f" {light.letter} ({MORSE[light.letter]})"
    elif light.groups != (1,):
        said = f"group {said}, " + " and ".join(str(count) for count in light.groups)
    if light.long_flash:
        said += " followed by one long flash"
    said += ", " + " and ".join(COLOURS[colour] for colour in light.colours)
    if light.period:
        said += f", every {light.period:g} seconds"
    if light.elevation:
        said += f", {light.elevation} metres above high water"
    if light.range:
        said += f", seen from {light.range} nautical miles"
    return said[0].upper() + said[1:]


def phases(light: Character) -> list[tuple[bool, float]]:
    """One period as (lit, seconds) pairs, adding up to the whole period."""
    if light.rhythm == "F":
        return [(True, light.period or 1.0)]
    if light.rhythm == "Iso":
        half = (light.period or 4.0) / 2
        return [(True, half), (False, half)]
    shown = _flashes(light)
    period = light.period or sum(seconds for _, seconds in shown)
    rest = period - sum(seconds for _, seconds in shown)
    if rest < -1e-9:
        raise Unreadable(f"{sum(light.groups)} flashes do not fit into {light.period:g} seconds")
    if light.rhythm == "Oc":  # the same, with light and dark exchanged: dark is the shorter part
        return [(not lit, seconds) for lit, seconds in shown] + [(True, rest)]
    return [*shown, (False, rest)]


def _flashes(light: Character) -> list[tuple[bool, float]]:
    """The flashes of one period with the dark after each, without the long dark at its end."""
    if light.letter:
        return [beat for sign in MORSE[light.letter] for beat in ((True, 0.5 if sign == "." else 1.5), (False, 0.5))]
    lit, dark = {"Q": (0.4, 0.6), "VQ": (0.2, 0.3), "LFl": (2.0, 1.0)}.get(light.rhythm, (0.5, 1.0))
    beats = []
    for number, count in enumerate(light.groups):
        if number:
            beats.append((False, 1.5))
        beats += [(True, lit), (False, dark)] * count
    return beats + ([(True, 2.0), (False, 0.5)] if light.long_flash else [])
