export async function eventSource() {}
