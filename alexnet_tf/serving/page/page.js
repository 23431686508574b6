"use strict";

const at = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)} %`;

// Text is set as text, never as markup: class names are whatever the data had for them.
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function guessRow({ class: name, probability }) {
  return element(
    "div",
    { className: "guess" },
    element("span", { className: "name", textContent: name }),
    element("meter", { min: 0, max: 1, value: probability }),
    element("span", { className: "share", textContent: percent(probability) }),
  );
}

function viewFigure({ picture, best }, index) {
  const text = `${best.class}, ${percent(best.probability)}`;
  return element(
    "figure",
    {},
    element("img", { src: picture, alt: `view ${index + 1}: ${text}` }),
    element("figcaption", { textContent: text }),
  );
}

function show(answer) {
  at("square").src = answer.square;
  at("first_layer").src = answer.first_layer;
  at("top").replaceChildren(...answer.ten_views.map(guessRow));
  at("views").replaceChildren(...answer.views.map(viewFigure));
  at("result").hidden = false;
}

let newest = 0; // only the answer to the last photograph is shown

async function look(file) {
  const number = ++newest;
  at("message").textContent = `Looking at ${file.name} …`;
  try {
    const response = await fetch("look", { method: "POST", body: file });
    const answer = await response.json();
    if (number !== newest) return;
    if (!response.ok) throw new Error(answer.error);
    at("message").textContent = file.name;
    show(answer);
  } catch (error) {
    if (number !== newest) return;
    at("result").hidden = true;
    at("message").textContent = `${file.name}: ${error.message}`;
  }
}

at("file").addEventListener("change", () => {
  if (at("file").files.length) look(at("file").files[0]);
});
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", name === "dragenter" || name === "dragover");
    if (name === "drop" && event.dataTransfer.files.length) look(event.dataTransfer.files[0]);
  });
}
