// Our content security policy forbids eval, so the admin runs on Alpine's build without
// it (unfold/js/alpine/README.md). That build reads one expression without globals,
// arrow functions and `if`. The few of unfold's that need more are rewritten here, each
// before Alpine reads its element, into calls of the functions below.
"use strict";
{
  const SIDEBAR = "sidebarDesktopOpen";

  // What unfold keeps on <body>.
  const page = (initialTab) => ({
    activeTab: initialTab,
    sidebarMobileOpen: false,
    sidebarDesktopOpen: localStorage.getItem(SIDEBAR) !== "0",
    init() {
      this.activeTab = getCurrentTab() || initialTab;
      this.$watch(SIDEBAR, (open) => localStorage.setItem(SIDEBAR, open ? "1" : "0"));
    },
    // Where a form goes, so that the answer opens on the same tab.
    addressOf(tab) {
      const { pathname, search } = window.location;
      return pathname + search + (tab && tab !== "general" ? `#${tab}` : "");
    },
    // Alpine sets a style that is text by the attribute, which the policy forbids; one
    // that is an object it sets by property.
    wide: (pixels) => ({ width: `${pixels}px` }),
    sortRecords: (event) => sortRecords(event),
    moveRecords: (event) => moveRecords(event),
  });

  const dropdown = () => ({
    ...searchDropdown(),
    openFirst() {
      this.openSearchResults = true;
      this.currentIndex = 0;
    },
    leave() {
      const input = this.$refs.searchInput;
      this.openSearchResults = false;
      if (input.value === "") input.blur();
      else input.value = "";
    },
  });

  const command = () => ({
    ...searchCommand(),
    enter(event, withHistory) {
      const isChosen = this.currentIndex > 0;
      if (isChosen && !event.metaKey && !event.ctrlKey) {
        this.selectItem(withHistory, false);
      }
    },
  });

  // Attribute, the expression as unfold writes it, and what stands in its place.
  const REWRITTEN = [
    ["x-bind:action", /^activeTab && .*window\.location/, "addressOf(activeTab)"],
    ["x-bind:style", /^'width: ' \+ changeListWidth/, "wide(changeListWidth)"],
    ["x-on:click", /^sidebarDesktopOpen = .*;/, "sidebarDesktopOpen = !sidebarDesktopOpen"],
    ["x-on:focus", /^openSearchResults = true;/, "openFirst()"],
    ["x-on:keydown.escape.prevent", /^openSearchResults = false;/, "leave()"],
    [
      "x-on:keydown.enter.prevent",
      /^if \(.*\) selectItem\((true|false), false\)$/,
      "enter($event, $1)",
    ],
  ];

  // Unobserved, or Alpine would take what is written for a change of its own.
  const write = (element, name, value) =>
    Alpine.mutateDom(() => element.setAttribute(name, value));

  const rewrite = (element) => {
    for (const [name, pattern, replacement] of REWRITTEN) {
      const found = pattern.exec(element.getAttribute(name) ?? "");
      if (found) write(element, name, replacement.replace("$1", found[1]));
    }
  };

  const rewriteBody = (body) => {
    const tab = /activeTab: '([^'\\]*)'/.exec(body.getAttribute("x-data"));
    write(body, "x-data", `page('${tab ? tab[1] : ""}')`);
    write(body, "x-init", "true");
  };

  document.addEventListener("alpine:init", () => {
    Alpine.data("theme", theme);
    Alpine.data("page", page);
    Alpine.data("searchForm", searchForm);
    Alpine.data("searchDropdown", dropdown);
    Alpine.data("searchCommand", command);
    Alpine.interceptInit((element) =>
      element === document.body ? rewriteBody(element) : rewrite(element),
    );
  });
}
