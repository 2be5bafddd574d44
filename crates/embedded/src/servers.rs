//! The two servers together: start, addresses, chaos for tests, stop. The order of a stop is: the
//! caller's own app, then Valkey, then PostgreSQL.

use std::time::Instant;

use crate::error::Error;
use crate::folders::Folders;
use crate::lock::Lock;
use crate::options::{Options, Progress};
use crate::spawner::Spawner;
use crate::supervisor::{Service, Supervised};
use crate::{leftovers, postgres, programs, urls, valkey};

/// A server of ours, or the address of one that was given.
#[derive(Debug)]
enum Server {
    Ours(Supervised),
    Given(String),
}

/// PostgreSQL and Valkey, running and supervised. Stop them with [`Servers::stop`]: when this is
/// only dropped, the servers are told to end, but nobody waits for them and nothing is removed.
#[derive(Debug)]
pub struct Servers {
    postgres: Server,
    redis: Server,
    own: Option<Own>,
}

/// What there is to clean up when at least one server is ours.
#[derive(Debug)]
struct Own {
    folders: Folders,
    keep_data: bool,
    lock: Lock,
}

impl Servers {
    /// Starts what was not given and returns when both answer.
    ///
    /// # Errors
    /// When the data folder is in use, unreachable or of another version, when no program can be
    /// had, or when a server does not get ready. Each says what to do; nothing is left running.
    pub async fn start(options: Options) -> Result<Self, Error> {
        options.check_tuning()?;
        if let (Some(postgres), Some(redis)) = (&options.postgres, &options.redis) {
            return Ok(Self {
                postgres: Server::Given(postgres.clone()),
                redis: Server::Given(redis.clone()),
                own: None,
            });
        }
        let progress = options.progress();
        let mut own = Own::open(&options, &progress).await?;
        match start_both(&options, &own.folders, &progress).await {
            Ok((postgres, redis)) => {
                own.lock.note(&own.folders.sockets)?;
                Ok(Self { postgres, redis, own: Some(own) })
            }
            Err(error) => {
                // The first error is the one to report.
                if let Err(e) = own.clean_up() {
                    tracing::warn!(error = %e, "could not clean up after a failed start");
                }
                Err(error)
            }
        }
    }

    /// Address of a database for sqlx or libpq. The superuser of a PostgreSQL of ours is
    /// `postgres`, without a password; the socket's folder is what keeps others out.
    ///
    /// For a given PostgreSQL: `postgres` gets the given address as it is; another user gets the
    /// same server and the database named there, without the owner's password, so that a role
    /// that is missing there fails to log in instead of having the owner's rights.
    pub fn database_url(&self, user: &str, database: &str) -> String {
        match (&self.postgres, &self.own) {
            (Server::Given(url), _) => urls::given_postgres(url, user),
            (Server::Ours(_), Some(own)) => urls::postgres_socket(&own.folders.sockets, user, database),
            (Server::Ours(_), None) => String::new(),
        }
    }

    /// Address for redis-rs.
    pub fn redis_url(&self) -> String {
        match (&self.redis, &self.own) {
            (Server::Given(url), _) => url.clone(),
            (Server::Ours(_), Some(own)) => urls::redis_socket(&own.folders.valkey_socket()),
            (Server::Ours(_), None) => String::new(),
        }
    }

    /// Stops Valkey, then PostgreSQL; removes what they wrote unless it is kept. Stop your own
    /// connections first, they would only see errors.
    ///
    /// # Errors
    /// When files cannot be removed; the servers have ended all the same.
    pub async fn stop(self) -> Result<(), Error> {
        for server in [&self.redis, &self.postgres] {
            if let Server::Ours(supervised) = server {
                supervised.end().await?;
            }
        }
        match self.own {
            Some(own) => own.clean_up(),
            None => Ok(()),
        }
    }

    fn postgres(&self) -> Result<&Supervised, Error> {
        match &self.postgres {
            Server::Ours(supervised) => Ok(supervised),
            Server::Given(_) => Err(Error::NotOurs { name: postgres::NAME }),
        }
    }

    fn redis(&self) -> Result<&Supervised, Error> {
        match &self.redis {
            Server::Ours(supervised) => Ok(supervised),
            Server::Given(_) => Err(Error::NotOurs { name: valkey::NAME }),
        }
    }

    /// Restarts PostgreSQL cleanly; returns when it answers again.
    ///
    /// # Errors
    /// [`Error::NotOurs`] for a given one; [`Error::NotReady`] when it does not come back.
    pub async fn restart_postgres(&self) -> Result<(), Error> {
        self.postgres()?.restart().await
    }

    /// Stops PostgreSQL and leaves it down until [`Servers::start_postgres`].
    ///
    /// # Errors
    /// [`Error::NotOurs`] for a given one.
    pub async fn stop_postgres(&self) -> Result<(), Error> {
        self.postgres()?.stop().await
    }

    /// Starts PostgreSQL after [`Servers::stop_postgres`], or waits for it after a crash; returns
    /// when it answers.
    ///
    /// # Errors
    /// [`Error::NotOurs`] for a given one; [`Error::NotReady`] when it does not come back.
    pub async fn start_postgres(&self) -> Result<(), Error> {
        self.postgres()?.start_again().await
    }

    /// SIGKILL for PostgreSQL's main process; returns when it is gone. Supervision brings it back:
    /// [`Servers::ready`] waits for that.
    ///
    /// # Errors
    /// [`Error::NotOurs`] for a given one.
    pub async fn kill_postgres(&self) -> Result<(), Error> {
        self.postgres()?.kill().await
    }

    /// Restarts Valkey cleanly, with its data; returns when it answers again.
    ///
    /// # Errors
    /// [`Error::NotOurs`] for a given one; [`Error::NotReady`] when it does not come back.
    pub async fn restart_redis(&self) -> Result<(), Error> {
        self.redis()?.restart().await
    }

    /// Stops Valkey and leaves it down until [`Servers::start_redis`].
    ///
    /// # Errors
    /// [`Error::NotOurs`] for a given one.
    pub async fn stop_redis(&self) -> Result<(), Error> {
        self.redis()?.stop().await
    }

    /// Starts Valkey after [`Servers::stop_redis`], or waits for it after a crash; returns when it
    /// answers. It comes back with its data.
    ///
    /// # Errors
    /// [`Error::NotOurs`] for a given one; [`Error::NotReady`] when it does not come back.
    pub async fn start_redis(&self) -> Result<(), Error> {
        self.redis()?.start_again().await
    }

    /// SIGKILL for Valkey; returns when it is gone. Supervision brings it back.
    ///
    /// # Errors
    /// [`Error::NotOurs`] for a given one.
    pub async fn kill_redis(&self) -> Result<(), Error> {
        self.redis()?.kill().await
    }

    /// Waits until every server of ours answers, for example after a kill.
    ///
    /// # Errors
    /// [`Error::NotReady`] when one does not within five minutes.
    pub async fn ready(&self) -> Result<(), Error> {
        for server in [&self.postgres, &self.redis] {
            if let Server::Ours(supervised) = server {
                supervised.ready().await?;
            }
        }
        Ok(())
    }

    /// PostgreSQL's main process; none when it is down or was given.
    pub fn postgres_pid(&self) -> Option<u32> {
        self.postgres().ok()?.pid()
    }

    /// Valkey's process; none when it is down or was given.
    pub fn redis_pid(&self) -> Option<u32> {
        self.redis().ok()?.pid()
    }
}

impl Own {
    /// Takes the data folder over: lock first, then leftovers, then fresh socket folders.
    async fn open(options: &Options, progress: &Progress) -> Result<Self, Error> {
        let mut folders = Folders::open(&options.data_dir)?;
        let (lock, previous_sockets) = Lock::take(&folders)?;
        folders.note_keep(options.keep_data)?;
        leftovers::end_all(&folders, progress).await?;
        if let Some(old) = previous_sockets {
            folders.remove_old_sockets(&old)?;
        }
        folders.prepare()?;
        Ok(Self { folders, keep_data: options.keep_data, lock })
    }

    fn clean_up(self) -> Result<(), Error> {
        self.folders.close_sockets()?;
        if !self.keep_data {
            self.folders.remove_data()?;
        }
        // Free only now, when nothing of ours is left.
        drop(self.lock);
        Ok(())
    }
}

/// Starts both at once; when one fails the other is stopped again.
async fn start_both(
    options: &Options,
    folders: &Folders,
    progress: &Progress,
) -> Result<(Server, Server), Error> {
    let spawner = Spawner::start().map_err(Error::io("start a thread for", &folders.data))?;
    let (postgres, redis) = tokio::join!(
        Box::pin(start_postgres(options, folders, progress, spawner.clone())),
        Box::pin(start_redis(options, folders, progress, spawner)),
    );
    match (postgres, redis) {
        (Ok(postgres), Ok(redis)) => Ok((postgres, redis)),
        (Err(error), other) | (other, Err(error)) => {
            if let Ok(Server::Ours(supervised)) = other {
                supervised.end().await?;
            }
            Err(error)
        }
    }
}

async fn start_postgres(
    options: &Options,
    folders: &Folders,
    progress: &Progress,
    spawner: Spawner,
) -> Result<Server, Error> {
    if let Some(given) = &options.postgres {
        return Ok(Server::Given(given.clone()));
    }
    let programs = programs::find_postgres(folders.account.as_ref(), progress).await?;
    postgres::prepare(folders, &programs, progress).await?;
    let service = postgres::service(folders, &programs, &options.tuning);
    start_one(service, spawner, progress).await
}

async fn start_redis(
    options: &Options,
    folders: &Folders,
    progress: &Progress,
    spawner: Spawner,
) -> Result<Server, Error> {
    if let Some(given) = &options.redis {
        return Ok(Server::Given(given.clone()));
    }
    let program = programs::find_valkey(folders.account.as_ref(), progress).await?;
    start_one(valkey::service(folders, &program), spawner, progress).await
}

async fn start_one(service: Service, spawner: Spawner, progress: &Progress) -> Result<Server, Error> {
    let began = Instant::now();
    let title = service.title.clone();
    let supervised = Supervised::start(service, spawner);
    if let Err(error) = supervised.first_ready().await {
        supervised.end().await?;
        return Err(error);
    }
    let took = began.elapsed().as_secs_f64();
    progress.say(&format!("{title} is ready ({took:.2} s)"));
    Ok(Server::Ours(supervised))
}
