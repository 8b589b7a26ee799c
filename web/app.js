// The search page. What is searched for lives in the address (?catalog, text, product, ...), so that
// the back button and links work; only an uploaded image cannot be kept there.

const element = (id) => document.getElementById(id);
const form = element('search');
const catalogPicker = element('catalog');
const textBox = element('text');
const fileBox = element('file');
const grid = element('grid');
const statusLine = element('status');
const errorLine = element('error');

/** The image to search with, instead of text. At most one of the two is set. */
const query = { file: null, productId: null };
let running = null; // AbortController of the search under way
let previewUrl = null;

function showError(message) {
  errorLine.textContent = message;
  errorLine.hidden = !message;
}

/** The JSON of an answer; throws an Error that says what the server said. */
async function fetchJson(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Error('The server cannot be reached.');
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Error(body?.detail ?? `The server answered ${response.status}.`);
  return body;
}

const productUrl = (catalog, id) =>
  `/v1/catalogs/${encodeURIComponent(catalog)}/products/${encodeURIComponent(id)}`;

function showQueryImage(source, label) {
  if (previewUrl) URL.revokeObjectURL(previewUrl);
  previewUrl = source.startsWith('blob:') ? source : null;
  element('query-preview').hidden = false;
  element('query-preview').src = source;
  element('query-label').textContent = label;
  element('query-image').hidden = false;
  textBox.value = '';
  textBox.placeholder = '';
}

function clearQueryImage() {
  if (previewUrl) URL.revokeObjectURL(previewUrl);
  previewUrl = null;
  query.file = null;
  query.productId = null;
  fileBox.value = '';
  element('query-image').hidden = true;
  element('query-preview').removeAttribute('src');
  textBox.placeholder = 'a red striped dress';
}

function useFile(file) {
  if (!file) return;
  if (!file.type.startsWith('image/')) {
    showError(`"${file.name}" is not an image; use a JPEG, PNG or WebP file.`);
    return;
  }
  query.file = file;
  query.productId = null;
  showQueryImage(URL.createObjectURL(file), file.name || 'image');
  search();
}

function useProduct(id, label) {
  query.file = null;
  query.productId = id;
  showQueryImage(`${productUrl(catalogPicker.value, id)}/image`, label);
}

function options() {
  return {
    limit: Number(element('limit').value),
    exact: element('exact').checked,
    target: new FormData(form).get('target'),
  };
}

function searchRequest(signal) {
  if (query.file) {
    const body = new FormData();
    body.append('image', query.file);
    for (const [name, value] of Object.entries(options())) body.append(name, String(value));
    return { method: 'POST', body, signal };
  }
  const wanted = query.productId ? { product_id: query.productId } : { text: textBox.value.trim() };
  return {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ ...wanted, ...options() }),
    signal,
  };
}

function remember() {
  const { limit, exact, target } = options();
  const state = new URLSearchParams({ catalog: catalogPicker.value });
  if (query.productId) state.set('product', query.productId);
  else if (!query.file && textBox.value.trim()) state.set('text', textBox.value.trim());
  if (exact) state.set('exact', '1');
  if (target !== 'image') state.set('target', target);
  if (limit !== 24) state.set('limit', String(limit));
  const address = `?${state}`;
  if (address !== location.search) history.pushState(null, '', address);
}

function factsOf(attributes) {
  return Object.entries(attributes)
    .filter(([, value]) => value !== null && typeof value !== 'object' && value !== '')
    .slice(0, 5);
}

function card(hit) {
  const node = element('card').content.firstElementChild.cloneNode(true);
  const photo = node.querySelector('.photo');
  photo.href = hit.image_url;
  photo.title = `Product ${hit.id}`;
  const image = photo.querySelector('img');
  image.src = hit.image_url;
  image.alt = hit.caption;
  node.querySelector('.caption').textContent = hit.caption;
  const facts = node.querySelector('.facts');
  for (const [name, value] of factsOf(hit.attributes)) {
    const fact = document.createElement('li');
    const label = document.createElement('span');
    label.textContent = `${name} `;
    fact.append(label, String(value));
    fact.title = `${name}: ${value}`;
    facts.append(fact);
  }
  if (!facts.children.length) facts.remove();
  const meter = node.querySelector('meter');
  meter.value = Math.max(0, hit.score);
  meter.setAttribute('aria-label', 'Similarity');
  node.querySelector('.number').textContent = hit.score.toFixed(3);
  const similar = node.querySelector('.similar');
  similar.setAttribute('aria-label', `Similar to ${hit.caption}`);
  similar.addEventListener('click', () => {
    useProduct(hit.id, hit.caption);
    window.scrollTo({ top: 0 });
    search();
  });
  return node;
}

function describe(answer) {
  const count = answer.hits.length;
  const how = answer.exact ? 'every product compared' : `${answer.index} index`;
  const { total, encode, search: lookup } = answer.timings_ms;
  return `${count} ${count === 1 ? 'product' : 'products'} in ${total.toFixed(1)} ms `
    + `(encoding ${encode.toFixed(1)}, search ${lookup.toFixed(1)}), ${how}`;
}

async function search({ pushState = true } = {}) {
  if (!catalogPicker.value) return;
  showError('');
  if (pushState) remember();
  if (!query.file && !query.productId && !textBox.value.trim()) {
    showNothing();
    textBox.focus();
    return;
  }
  running?.abort();
  const mine = new AbortController();
  running = mine;
  grid.setAttribute('aria-busy', 'true');
  statusLine.textContent = 'Searching…';
  try {
    const url = `/v1/catalogs/${encodeURIComponent(catalogPicker.value)}/search`;
    const answer = await fetchJson(url, searchRequest(mine.signal));
    if (running !== mine) return;
    grid.replaceChildren(...answer.hits.map(card));
    statusLine.textContent = describe(answer);
  } catch (error) {
    if (running !== mine) return;
    grid.replaceChildren();
    statusLine.textContent = '';
    showError(error.message);
  } finally {
    if (running === mine) grid.removeAttribute('aria-busy');
  }
}

/** Ends on the welcome line, without the search under way. */
function showNothing() {
  running?.abort();
  running = null;
  grid.replaceChildren();
  grid.removeAttribute('aria-busy');
  welcome();
}

/** Puts the page into the state that the address describes. */
function restore() {
  const state = new URLSearchParams(location.search);
  const catalog = state.get('catalog');
  const known = [...catalogPicker.options].some((option) => option.value === catalog);
  if (known) catalogPicker.value = catalog;
  element('exact').checked = state.has('exact');
  const target = form.querySelector(`input[name=target][value="${CSS.escape(state.get('target') ?? 'image')}"]`);
  if (target) target.checked = true;
  const limit = state.get('limit') ?? '24';
  if ([...element('limit').options].some((option) => option.value === limit)) {
    element('limit').value = limit;
  }
  clearQueryImage();
  textBox.value = state.get('text') ?? '';
  if (catalog && !known && catalogPicker.value) {
    showNothing();
    statusLine.textContent = '';
    showError(`There is no catalog "${catalog}"; choose another one.`);
    return;
  }
  const product = state.get('product');
  if (product) useProduct(product, `like ${product}`);
  if (product || textBox.value) {
    search({ pushState: false });
  } else {
    showNothing();
  }
}

function welcome() {
  const chosen = catalogPicker.selectedOptions[0];
  statusLine.textContent = chosen?.dataset.products
    ? `${Number(chosen.dataset.products).toLocaleString('en')} products are waiting to be found.`
    : '';
}

async function loadCatalogs() {
  const { catalogs } = await fetchJson('/v1/catalogs');
  catalogPicker.replaceChildren(...catalogs.map((catalog) => {
    const option = document.createElement('option');
    option.value = catalog.name;
    option.textContent = catalog.name;
    option.disabled = !catalog.searchable;
    option.dataset.products = String(catalog.products);
    return option;
  }));
  const first = catalogs.find((catalog) => catalog.searchable);
  if (first) catalogPicker.value = first.name;
  catalogPicker.disabled = !first;
  if (!first) {
    showError(catalogs.length
      ? `No catalog can be searched: ${catalogs[0].problem}`
      : 'There is no catalog yet. Index one: vitrine index --help');
  }
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  search();
});
form.addEventListener('change', (event) => {
  if (event.target !== textBox && event.target !== fileBox) search();
});
textBox.addEventListener('input', () => {
  if (textBox.value && !element('query-image').hidden) {
    const typed = textBox.value;
    clearQueryImage();
    textBox.value = typed;
  }
});
catalogPicker.addEventListener('change', () => {
  if (query.productId) clearQueryImage();
  showNothing();
  search();
});
element('pick-image').addEventListener('click', () => fileBox.click());
fileBox.addEventListener('change', () => useFile(fileBox.files[0]));
element('query-preview').addEventListener('error', (event) => { event.target.hidden = true; });
element('clear-image').addEventListener('click', () => {
  clearQueryImage();
  textBox.focus();
});
document.addEventListener('paste', (event) => {
  const file = [...(event.clipboardData?.files ?? [])][0];
  if (!file) return;
  event.preventDefault();
  useFile(file);
});

const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes('Files');
document.addEventListener('dragover', (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  element('drop').hidden = false;
});
document.addEventListener('dragleave', (event) => {
  if (!event.relatedTarget) element('drop').hidden = true;
});
document.addEventListener('drop', (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  element('drop').hidden = true;
  useFile(event.dataTransfer.files[0]);
});
window.addEventListener('popstate', restore);

loadCatalogs().then(restore).catch((error) => showError(error.message));
