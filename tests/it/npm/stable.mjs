// The canonical text of a value: members in the order of their names.
export const stable = (value) => {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(stable).join(",")}]`;
  const members = Object.keys(value).sort();
  return `{${members.map((member) => `${JSON.stringify(member)}:${stable(value[member])}`).join(",")}}`;
};
