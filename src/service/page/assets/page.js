// Renews the parts of the page that have changed, so that nothing flickers and nothing is scrolled away. Without this
// script the browser reloads the whole page.
"use strict";
(() => {
  const INTERVAL_MS = 5000;
  const buttons = root => root.querySelectorAll("button[data-copy]").forEach(button => { button.hidden = false; });

  function renew(part, other) {
    other.querySelectorAll("details[id]").forEach(details => {
      const now = document.getElementById(details.id);
      if (now) details.open = now.open;
    });
    buttons(other);
    if (part.outerHTML === other.outerHTML) return;
    const selection = getSelection();
    if (selection && !selection.isCollapsed && part.contains(selection.anchorNode)) return;
    const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    part.replaceChildren(...other.childNodes);
    part.className = other.className;
    part.hidden = other.hidden;
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  async function look() {
    if (document.hidden) return;
    try {
      const url = location.origin + location.pathname + location.search;
      const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(INTERVAL_MS * 2) });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.title = page.title;
      document.querySelectorAll("[data-part]").forEach(part => {
        const other = page.getElementById(part.id);
        if (other) renew(part, document.importNode(other, true));
      });
      document.body.classList.remove("stale");
    } catch {
      document.body.classList.add("stale");
    }
  }

  document.addEventListener("click", event => {
    const button = event.target.closest("button[data-copy]");
    const code = button && document.getElementById(button.dataset.copy);
    if (!code) return;
    getSelection().selectAllChildren(code);
    navigator.clipboard?.writeText(code.textContent).catch(() => {});
  });
  document.addEventListener("visibilitychange", look);
  buttons(document);
  (async () => {
    for (;;) {
      await new Promise(resolve => setTimeout(resolve, INTERVAL_MS));
      await look();
    }
  })();
})();
