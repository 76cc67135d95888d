// Parts of a page that the server sent: only what differs is changed, so that what stays the same is the same node.
// Focus, scroll and open details stay, and a click whose press and release meet different versions is still one.

const OURS = new Set(["open", "data-htmx-powered"]); // what the page itself adds to what was sent

export function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = html.trim();
  return template.content.firstElementChild;
}

export function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
  for (const { name } of [...old.attributes]) if (!OURS.has(name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const known = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  let here = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const same = child.id ? known.get(child.id) : here && !here.id && here.nodeName === child.nodeName ? here : null;
    if (!same) { old.insertBefore(child, here); continue; }
    if (same === here) here = here.nextSibling;
    else old.insertBefore(same, here);
    if (same.nodeType === 1) morph(same, child);
    else if (same.nodeValue !== child.nodeValue) same.nodeValue = child.nodeValue;
  }
  while (here) { const next = here.nextSibling; here.remove(); here = next; }
}
