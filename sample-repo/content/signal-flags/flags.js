"use strict";

// Every flag on a field of 60 by 60: hoist on the left, fly on the right.
const white = "#fdfdfb", blue = "#1d4e9e", red = "#cf2233", yellow = "#ffd02f", black = "#15171a";
const rect = (x, y, width, height, fill) => `<rect x="${x}" y="${y}" width="${width}" height="${height}" fill="${fill}"/>`;
const shape = (points, fill) => `<polygon points="${points}" fill="${fill}"/>`;
const field = (fill) => rect(0, 0, 60, 60, fill);
const stack = (...fills) => fills.map((fill, row) => rect(0, (60 / fills.length) * row, 60, 60 / fills.length, fill)).join("");
const row = (...fills) => fills.map((fill, column) => rect((60 / fills.length) * column, 0, 60 / fills.length, 60, fill)).join("");
const quarters = (a, b, c, d) => rect(0, 0, 30, 30, a) + rect(30, 0, 30, 30, b) + rect(0, 30, 30, 30, c) + rect(30, 30, 30, 30, d);
const saltire = (ground, cross) => field(ground) + `<path d="M0 0 60 60M60 0 0 60" stroke="${cross}" stroke-width="14"/>`;
const cross = (ground, arms) => field(ground) + rect(24, 0, 12, 60, arms) + rect(0, 24, 60, 12, arms);
const checks = () => [...Array(16).keys()].map((n) => rect((n % 4) * 15, Math.floor(n / 4) * 15, 15, 15, (n + Math.floor(n / 4)) % 2 ? white : blue)).join("");
const stripes = () => field(yellow) + [0, 1, 2, 3, 4, 5].map((n) => shape(`${n * 20 - 10},0 ${n * 20},0 ${n * 20 - 60},60 ${n * 20 - 70},60`, red)).join("");

const flags = {
  A: ["Alfa", "I have a diver down; keep well clear at slow speed.", rect(0, 0, 30, 60, white) + shape("30,0 60,0 45,30 60,60 30,60", blue)],
  B: ["Bravo", "I am handling dangerous goods.", shape("0,0 60,0 45,30 60,60 0,60", red)],
  C: ["Charlie", "Yes.", stack(blue, white, red, white, blue)],
  D: ["Delta", "Keep clear of me; I manoeuvre with difficulty.", stack(yellow, blue, blue, yellow)],
  E: ["Echo", "I am altering my course to starboard.", stack(blue, red)],
  F: ["Foxtrot", "I am disabled; talk to me.", field(white) + shape("30,0 60,30 30,60 0,30", red)],
  G: ["Golf", "I want a pilot.", row(yellow, blue, yellow, blue, yellow, blue)],
  H: ["Hotel", "I have a pilot on board.", row(white, red)],
  I: ["India", "I am altering my course to port.", field(yellow) + `<circle cx="30" cy="30" r="15" fill="${black}"/>`],
  J: ["Juliett", "I am on fire with dangerous cargo; keep well clear.", stack(blue, white, blue)],
  K: ["Kilo", "I wish to talk to you.", row(yellow, blue)],
  L: ["Lima", "Stop your vessel at once.", quarters(yellow, black, black, yellow)],
  M: ["Mike", "My vessel is stopped and makes no way.", saltire(blue, white)],
  N: ["November", "No.", checks()],
  O: ["Oscar", "Man overboard.", field(yellow) + shape("0,0 60,0 60,60", red)],
  P: ["Papa", "In harbour: everyone aboard, we are about to sail.", field(blue) + rect(18, 18, 24, 24, white)],
  Q: ["Quebec", "My vessel is healthy and I ask to come ashore.", field(yellow)],
  R: ["Romeo", "It says nothing alone.", cross(red, yellow)],
  S: ["Sierra", "My engines are going astern.", field(white) + rect(18, 18, 24, 24, blue)],
  T: ["Tango", "Keep clear; we trawl in a pair.", row(red, white, blue)],
  U: ["Uniform", "You are running into danger.", quarters(red, white, white, red)],
  V: ["Victor", "I want help.", saltire(white, red)],
  W: ["Whiskey", "I want a doctor.", field(blue) + rect(12, 12, 36, 36, white) + rect(22, 22, 16, 16, red)],
  X: ["X-ray", "Stop what you are doing and watch for my signals.", cross(white, blue)],
  Y: ["Yankee", "My anchor drags.", stripes()],
  Z: ["Zulu", "I want a tug.", shape("0,0 30,30 0,60", black) + shape("0,0 60,0 30,30", yellow) + shape("60,0 60,60 30,30", red) + shape("0,60 30,30 60,60", blue)],
};

const draw = (letter) => `<svg viewBox="0 0 60 60" role="img" aria-label="${flags[letter][0]}">${flags[letter][2]}</svg>`;

document.getElementById("alphabet").innerHTML = Object.entries(flags)
  .map(([letter, [name, meaning]]) => `<article>${draw(letter)}<p><strong>${letter} ${name}</strong>${meaning}</p></article>`)
  .join("");

const message = document.getElementById("message");
function hoist() {
  // Only letters that are keys of `flags` reach the page; anything else is a gap between words.
  document.getElementById("hoist").innerHTML = [...message.value.toUpperCase()]
    .map((letter) => (Object.hasOwn(flags, letter) ? draw(letter) : '<span class="gap"></span>'))
    .join("");
}
message.addEventListener("input", hoist);
message.form.addEventListener("submit", (event) => event.preventDefault());
hoist();
