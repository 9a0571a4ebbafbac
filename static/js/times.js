// Times in the reader's zone.

const sameYear = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" };

export function localiseTimes(root = document) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(element.dateTime);
    const isThisYear = moment.getFullYear() === new Date().getFullYear();
    element.textContent = moment.toLocaleString(undefined, isThisYear ? sameYear : { ...sameYear, year: "numeric" });
    element.title = element.dateTime;
  }
}
