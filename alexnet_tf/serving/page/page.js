"use strict";

const byId = (id) => document.getElementById(id);
const percent = (probability) => `${(100 * probability).toFixed(1)} %`;

// Text is set as text, never as markup: class names come from the data and may contain anything.
function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function predictionRow({ class: name, probability }) {
  return element(
    "div",
    { className: "prediction" },
    element("span", { className: "name", textContent: name }),
    element("meter", { min: 0, max: 1, value: probability }),
    element("span", { className: "probability", textContent: percent(probability) }),
  );
}

function viewFigure({ image, best }, index) {
  const text = `${best.class}, ${percent(best.probability)}`;
  return element(
    "figure",
    {},
    element("img", { src: image, alt: `view ${index + 1}: ${text}` }),
    element("figcaption", { textContent: text }),
  );
}

function show(answer) {
  byId("square").src = answer.square;
  byId("first_layer").src = answer.first_layer;
  byId("top").replaceChildren(...answer.ten_views.map(predictionRow));
  byId("views").replaceChildren(...answer.views.map(viewFigure));
  byId("result").hidden = false;
}

let newest = 0; // the answer to an earlier photograph is not shown

function showMessage(text, isError = false) {
  byId("message").textContent = text;
  byId("message").classList.toggle("error", isError);
}

async function explain(file, others) {
  const number = ++newest;
  showMessage(`Analysing ${file.name} …`);
  try {
    const response = await fetch("explain", { method: "POST", body: file });
    const answer = await response.json();
    if (number !== newest) return;
    if (!response.ok) throw new Error(answer.error);
    showMessage(others ? `${file.name} (only one at a time: ${others} more ignored)` : file.name);
    show(answer);
  } catch (error) {
    if (number !== newest) return;
    byId("result").hidden = true;
    const noAnswer = error instanceof TypeError; // `fetch` throws it for a failed connection
    showMessage(`${file.name}: ${noAnswer ? "the server does not answer" : error.message}`, true);
  }
}

byId("file").addEventListener("change", () => {
  if (byId("file").files.length) explain(byId("file").files[0], 0);
});
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    byId("drop").classList.toggle("over", name === "dragenter" || name === "dragover");
    if (name !== "drop") return;
    const files = event.dataTransfer.files;
    if (files.length) explain(files[0], files.length - 1);
    else showMessage("Drop an image file", true);
  });
}
