const monitor = document.querySelector("ecg-monitor");
const said = document.querySelector("#said");

monitor.addEventListener("ecg-state", ({ detail }) => {
  said.textContent = detail.text;
});
monitor.addEventListener("ecg-loss", ({ detail }) => console.warn(`${detail.frames ?? "some"} messages are lost`));
