export async function proxies() {}
