//! A loop on the AWS SDK for Rust, tuned: many workers on a pool of connections, each receives ten, puts them at once
//! and deletes them together, all on one thread. It does the service's plain work, an email's key and document
//! included: no leases, no quarantine, no circuit, no metrics.

use std::{env, error::Error, sync::Arc};

use aws_config::{BehaviorVersion, retry::RetryConfig, stalled_stream_protection::StalledStreamProtectionConfig};
use aws_sdk_s3::{error::ProvideErrorMetadata, primitives::ByteStream};
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName};
use futures::stream::{FuturesUnordered, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;
use time::{OffsetDateTime, macros::format_description};
use tokio::{sync::Semaphore, task::JoinSet};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const WORKERS: usize = 64; // each works on ten messages at a time
const UPLOADS: usize = 256; // PUTs at once, of all workers

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What must be there to make it an email.
#[derive(Deserialize)]
struct Email<'a> {
    #[serde(borrow, rename = "email_subject")]
    _subject: &'a RawValue,
    #[serde(rename = "email_sender")]
    sender: String,
    #[serde(borrow, rename = "email_timestream")]
    _timestream: &'a RawValue,
    #[serde(borrow, rename = "email_content")]
    _content: &'a RawValue,
}

struct Archiver {
    sqs: aws_sdk_sqs::Client,
    s3: aws_sdk_s3::Client,
    queue: String,
    bucket: String,
    slots: Semaphore,
}

/// A message's key and document.
fn object_of(message: &Message) -> Outcome<(String, String)> {
    let (id, body) = (message.message_id().ok_or("no id")?, message.body().ok_or("no body")?);
    let email: Email = serde_json::from_str(body)?;
    let address = email.sender.rsplit('<').next().unwrap_or_default();
    let local = address.split('@').next().unwrap_or_default();
    let first =
        message.attributes().and_then(|all| all.get(&MessageSystemAttributeName::ApproximateFirstReceiveTimestamp));
    let moment = OffsetDateTime::from_unix_timestamp(first.ok_or("no time")?.parse::<i64>()? / 1000)?;
    let key = moment.format(format_description!("[year]/[month]/[day]"))?;
    let time = moment.format(format_description!("[hour][minute][second]"))?;
    let processed_at = moment.format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z"))?;
    let document = [
        r#"{"message_id":""#,
        id,
        r#"","processed_at":""#,
        &processed_at,
        r#"","email_data":"#,
        body,
        r#","metadata":{"processor_version":"1.0.0","source":"email-validation-service"}}"#,
    ];
    Ok((format!("emails/{key}/{local}/{id}_{time}.json"), document.concat()))
}

impl Archiver {
    /// Put one message; that its object is there already is as good.
    async fn store(&self, message: &Message) -> Outcome<()> {
        let (key, document) = object_of(message)?;
        let _slot = self.slots.acquire().await?;
        let put =
            self.s3.put_object().bucket(&self.bucket).key(key).content_type("application/json").if_none_match("*");
        match put.body(ByteStream::from(document.into_bytes())).send().await {
            Err(error) if error.code() != Some("PreconditionFailed") => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn batch(&self) -> Outcome<()> {
        let receive =
            self.sqs.receive_message().queue_url(&self.queue).max_number_of_messages(10).wait_time_seconds(20);
        let all = MessageSystemAttributeName::All;
        let answer = receive.visibility_timeout(300).message_system_attribute_names(all).send().await?;
        let messages = answer.messages();
        let puts: FuturesUnordered<_> =
            messages.iter().map(|message| async move { (message, self.store(message).await) }).collect();
        let outcomes: Vec<_> = puts.collect().await;
        let entries: Vec<_> = outcomes
            .iter()
            .filter(|(_, outcome)| outcome.is_ok())
            .map(|(message, _)| {
                DeleteMessageBatchRequestEntry::builder()
                    .set_id(message.message_id.clone())
                    .set_receipt_handle(message.receipt_handle.clone())
                    .build()
            })
            .collect::<Result<_, _>>()?;
        if !entries.is_empty() {
            self.sqs.delete_message_batch().queue_url(&self.queue).set_entries(Some(entries)).send().await?;
        }
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::standard())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .load()
        .await;
    let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
    let archiver = Arc::new(Archiver {
        sqs: aws_sdk_sqs::Client::new(&config),
        s3: aws_sdk_s3::Client::from_conf(s3),
        queue: env::var("SQS_QUEUE_URL")?,
        bucket: env::var("S3_BUCKET_NAME")?,
        slots: Semaphore::new(UPLOADS),
    });
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let archiver = Arc::clone(&archiver);
        workers.spawn(async move {
            loop {
                if let Err(error) = archiver.batch().await {
                    eprintln!("{error}");
                }
            }
        });
    }
    workers.join_all().await;
    Ok(())
}
