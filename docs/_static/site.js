// Puts recorded runs on the stage of the live panel, wherever a page has a place for one.

(() => {
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const hide = ["top-left", "rewind", "along"]; // what needs a kernel

  /** Furo's choice: light, dark, or what the system says. */
  const theme = () => {
    const chosen = document.body.dataset.theme;
    return chosen === "light" || chosen === "dark" ? chosen : "auto";
  };

  /** Show all of a record at once, for who does not want to see it move. */
  function toTheEnd(record) {
    record.give(record.packets.length, 0);
  }

  function show(place) {
    const packets = gradlab.runs[place.dataset.run];
    const look = { theme: theme(), lang: "en", words: gradlab.words, groups: [], hide };
    const { stage, record } = gradlab.showRecord(place, { look, packets, speed: "paced" });
    for (const heading of place.querySelectorAll("h3")) { // below the page's title, not below a section
      heading.setAttribute("role", "heading");
      heading.setAttribute("aria-level", "2");
    }
    new MutationObserver(() => {
      look.theme = theme();
      stage.setTheme();
    }).observe(document.body, { attributeFilter: ["data-theme"] });
    if (still.matches) return toTheEnd(record);
    let touched = false;
    for (const kind of ["pointerdown", "keydown"]) place.addEventListener(kind, () => { touched = true; }, { once: true, capture: true });
    const begin = () => {
      if (touched || stage.transport.playing) return;
      stage.toggle();
      if (place.dataset.loop) again();
    };
    const again = () => {
      const timer = setInterval(() => {
        if (touched) clearInterval(timer);
        else if (!stage.transport.playing) {
          clearInterval(timer);
          setTimeout(begin, 5000);
        }
      }, 300);
    };
    const seen = new IntersectionObserver(([entry]) => {
      if (!entry.isIntersecting) return;
      seen.disconnect();
      setTimeout(begin, 900); // first the eye finds the network
    }, { threshold: 0.4 });
    seen.observe(place);
    return undefined;
  }

  for (const place of document.querySelectorAll(".gradlab-replay")) show(place);
})();
