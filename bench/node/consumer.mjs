// sqs-consumer with the AWS SDK v3: each receive's ten are put at once, then sqs-consumer deletes them as a batch.
// Sixteen consumers in one process, as one alone waits for its ten before it receives again.
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { SQSClient } from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";

const CONSUMERS = 16;
const FIELDS = ["email_subject", "email_sender", "email_timestream", "email_content"];
const { SQS_QUEUE_URL: queueUrl, S3_BUCKET_NAME: Bucket } = process.env;
const requestHandler = { httpAgent: { maxSockets: 10 * CONSUMERS }, httpsAgent: { maxSockets: 10 * CONSUMERS } };
const s3 = new S3Client({ requestHandler });
const sqs = new SQSClient({ requestHandler });

// The object that email-processor makes of a message.
const store = async ({ MessageId, Body: body, Attributes }) => {
  const email = JSON.parse(body);
  if (!FIELDS.every((name) => name in email)) throw new Error("not an email");
  const sender = email.email_sender.split("<").pop().split("@")[0];
  const moment = new Date(Number(Attributes.ApproximateFirstReceiveTimestamp)).toISOString();
  const [day, time] = [moment.slice(0, 10).replaceAll("-", "/"), moment.slice(11, 19)];
  const metadata = '{"processor_version":"1.0.0","source":"email-validation-service"}';
  await s3.send(
    new PutObjectCommand({
      Bucket,
      Key: `emails/${day}/${sender}/${MessageId}_${time.replaceAll(":", "")}.json`,
      Body: `{"message_id":"${MessageId}","processed_at":"${moment.slice(0, 19)}Z","email_data":${body},"metadata":${metadata}}`,
      ContentType: "application/json",
      IfNoneMatch: "*",
    }),
  );
};

for (let n = 0; n < CONSUMERS; n += 1) {
  const consumer = Consumer.create({
    queueUrl,
    sqs,
    batchSize: 10,
    visibilityTimeout: 300,
    waitTimeSeconds: 20,
    messageSystemAttributeNames: ["All"],
    handleMessageBatch: async (messages) => {
      await Promise.all(messages.map(store));
      return messages;
    },
  });
  consumer.on("error", (error) => console.error("error", error.message));
  consumer.on("processing_error", (error) => console.error("processing_error", error.message));
  consumer.start();
}
