"use strict";
{
  const read = (name) => JSON.parse(document.getElementById(name).textContent);
  const charts = read("charts");
  const options = {
    renderer: "svg",
    ast: true, // Vega interprets expressions, so that the page can forbid `eval`
    actions: { export: true, source: false, compiled: false, editor: false },
  };
  const draw = async (place) => {
    try {
      const chart = charts[place.dataset.chart];
      chart.datasets = { ...chart.datasets, results: read("results") };
      await vegaEmbed(place, chart, options);
    } catch (problem) {
      place.textContent = `This chart cannot be drawn: ${problem.message}`;
      console.error(problem);
    }
  };
  Promise.all([...document.querySelectorAll("[data-chart]")].map(draw)).then(() => {
    document.documentElement.dataset.drawn = "yes";
  });
}
