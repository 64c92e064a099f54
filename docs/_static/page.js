// What a keyboard and a screen reader need beyond the theme: names of the two side bars, a heading of the search page,
// and boxes that scroll.

document.querySelector(".sidebar-drawer")?.setAttribute("aria-label", "Pages");
document.querySelector(".toc-drawer")?.setAttribute("aria-label", "On this page");
for (const box of document.querySelectorAll(".highlight pre, div.math, .table-wrapper")) {
  if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
}
const found = document.querySelector("#search-results");
if (found && !document.querySelector("h1")) found.before(Object.assign(document.createElement("h1"), { textContent: "Search" }));
