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

function say(text, isError = false) {
  at("message").textContent = text;
  at("message").classList.toggle("error", isError);
}

async function look(file, others) {
  const number = ++newest;
  say(`Looking at ${file.name} …`);
  try {
    const response = await fetch("look", { method: "POST", body: file });
    const answer = await response.json();
    if (number !== newest) return;
    if (!response.ok) throw new Error(answer.error);
    say(others ? `${file.name} (one at a time: ${others} more not looked at)` : file.name);
    show(answer);
  } catch (error) {
    if (number !== newest) return;
    at("result").hidden = true;
    const unheard = error instanceof TypeError; // which `fetch` throws where nobody answers
    say(`${file.name}: ${unheard ? "the server does not answer" : error.message}`, true);
  }
}

at("file").addEventListener("change", () => {
  if (at("file").files.length) look(at("file").files[0], 0);
});
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", name === "dragenter" || name === "dragover");
    if (name !== "drop") return;
    const files = event.dataTransfer.files;
    if (files.length) look(files[0], files.length - 1);
    else say("That is no file: drop a photograph", true);
  });
}
