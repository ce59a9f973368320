// sqs-consumer with the AWS SDK v3: each receive's ten are put at once, then sqs-consumer deletes them as a batch.
// Four consumers in one process, as one alone waits for its ten before it receives again.
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { SQSClient } from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";

const CONSUMERS = 4;
const { SQS_QUEUE_URL: queueUrl, S3_BUCKET_NAME: Bucket } = process.env;
const requestHandler = { httpAgent: { maxSockets: 128 }, httpsAgent: { maxSockets: 128 } };
const s3 = new S3Client({ requestHandler });
const sqs = new SQSClient({ requestHandler });

const store = ({ MessageId, Body }) => s3.send(new PutObjectCommand({ Bucket, Key: `emails/${MessageId}.json`, Body }));

for (let n = 0; n < CONSUMERS; n += 1) {
  const consumer = Consumer.create({
    queueUrl,
    sqs,
    batchSize: 10,
    visibilityTimeout: 300,
    waitTimeSeconds: 20,
    handleMessageBatch: async (messages) => {
      await Promise.all(messages.map(store));
      return messages;
    },
  });
  consumer.on("error", (error) => console.error("error", error.message));
  consumer.on("processing_error", (error) => console.error("processing_error", error.message));
  consumer.start();
}
