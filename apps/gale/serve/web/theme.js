/* The chosen theme, before anything is drawn: a module would come too late. */
(() => {
  try {
    document.documentElement.dataset.theme = localStorage.getItem('gale.theme') ?? '';
  } catch {
    /* Without storage the system's theme holds. */
  }
})();
