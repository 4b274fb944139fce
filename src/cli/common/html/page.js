"use strict";
// Tabs by mouse and keyboard, following the ARIA practices: arrow keys move between tabs, Home and End go to the ends.
// Without this script all panels are open.
const panelOf = tab => document.getElementById(tab.getAttribute("aria-controls"));
const tabsOf = list => [...list.querySelectorAll("[role=tab]")];

function choose(tab) {
  for (const other of tabsOf(tab.closest("[role=tablist]"))) {
    other.setAttribute("aria-selected", other === tab);
    other.tabIndex = other === tab ? 0 : -1;
    panelOf(other).hidden = other !== tab;
  }
}

// Opens a panel and the panels around it; returns whether there is one.
function open(id) {
  let panel = document.getElementById(id);
  const found = panel?.matches("[role=tabpanel]") ?? false;
  for (; panel; panel = panel.parentElement.closest("[role=tabpanel]")) {
    const tab = document.getElementById(panel.id + "-tab");
    if (tab) choose(tab);
  }
  return found;
}

// Puts the choice into the address, so that it can be shared.
function chooseAndLink(tab) {
  choose(tab);
  tab.focus();
  history.replaceState(null, "", "#" + panelOf(tab).id);
}

for (const list of document.querySelectorAll("[role=tablist]")) {
  const tabs = tabsOf(list);
  list.addEventListener("click", event => {
    const tab = event.target.closest("[role=tab]");
    if (tab) chooseAndLink(tab);
  });
  list.addEventListener("keydown", event => {
    const here = tabs.indexOf(event.target.closest("[role=tab]"));
    const next = { ArrowRight: here + 1, ArrowDown: here + 1, ArrowLeft: here - 1, ArrowUp: here - 1, Home: 0, End: -1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    tabs.at(next % tabs.length).click();
  });
  if (tabs.length) choose(tabs[0]);
}

function followAddress() {
  const id = decodeURIComponent(location.hash.slice(1));
  if (open(id)) document.getElementById(id).scrollIntoView();
}
addEventListener("hashchange", followAddress);
followAddress();
