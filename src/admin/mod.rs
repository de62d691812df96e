//! stub
use std::net::SocketAddr;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct StartError;
pub struct Admin(SocketAddr);
pub struct Readiness;
impl Readiness {
    pub fn drain(&self) {}
}
impl Admin {
    pub fn address(&self) -> SocketAddr {
        self.0
    }
    pub fn readiness(&self) -> Readiness {
        Readiness
    }
    pub fn end(self, _: &tokio::runtime::Handle) {}
}
pub fn serve(_: &tokio::runtime::Handle, s: std::net::TcpListener) -> Result<Admin, StartError> {
    Ok(Admin(s.local_addr().map_err(|_| StartError)?))
}
