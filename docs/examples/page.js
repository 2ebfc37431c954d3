// What the examples share: it shows pulls, and runs the example that the page's address names. Nothing in it is about GraphQL.
const examples = import.meta.glob('./*/main.js');
const [form, error, pulls] = ['form', '#error', 'tbody'].map((selector) => document.querySelector(selector));

// Shows the state of a pull in the place of the one before.
export function show({ id, phase, progress }) {
  let row = document.getElementById(id);
  if (!row) {
    row = pulls.insertRow(0);
    row.id = id;
  }
  row.replaceChildren(...[id, phase, progress.percent].map((value) => {
    const cell = document.createElement('td');
    cell.textContent = value;
    return cell;
  }));
}

// Shows an error, or removes it.
export function fail(problem) {
  error.textContent = problem?.message ?? (problem ? JSON.stringify(problem) : '');
}

// Calls start with an image when the button is pressed.
export function onStart(start) {
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    try {
      await start(form.image.value);
    } catch (problem) {
      fail(problem);
    }
  });
  form.querySelector('button').disabled = false;
}

for (const path of Object.keys(examples)) {
  const link = document.createElement('a');
  link.textContent = path.split('/')[1];
  link.href = `?${link.textContent}`;
  document.querySelector('nav').append(link, ' ');
}
examples[`./${location.search.slice(1)}/main.js`]?.().catch(fail);
