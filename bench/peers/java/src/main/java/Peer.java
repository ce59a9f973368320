import static software.amazon.awssdk.core.client.config.SdkAdvancedAsyncClientOption.FUTURE_COMPLETION_EXECUTOR;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import java.util.stream.IntStream;
import java.util.zip.CRC32;
import software.amazon.awssdk.core.async.AsyncRequestBody;
import software.amazon.awssdk.http.crt.AwsCrtAsyncHttpClient;
import software.amazon.awssdk.services.s3.S3AsyncClient;
import software.amazon.awssdk.services.s3.model.PutObjectRequest;
import software.amazon.awssdk.services.s3.model.PutObjectResponse;
import software.amazon.awssdk.services.s3.model.S3Exception;
import software.amazon.awssdk.services.sqs.SqsAsyncClient;
import software.amazon.awssdk.services.sqs.model.DeleteMessageBatchRequestEntry;
import software.amazon.awssdk.services.sqs.model.Message;
import software.amazon.awssdk.services.sqs.model.MessageSystemAttributeName;
import software.amazon.awssdk.services.sqs.model.ReceiveMessageRequest;
import software.amazon.awssdk.services.sqs.model.ReceiveMessageResponse;
import sun.misc.Signal;

/**
 * A loop on the AWS SDK for Java 2, tuned: many workers on the connections of the AWS Common Runtime, each receives
 * ten, puts them at once and deletes them together. It does the service's plain work, an email's key and document
 * included: no leases, no quarantine, no circuit, no metrics. Whom to trust the runtime reads from SSL_CERT_FILE itself.
 */
public final class Peer {
  private static final int WORKERS = 64; // each works on ten messages at a time
  private static final int UPLOADS = 256; // PUTs at once, of all workers
  private static final Executor DIRECT = Runnable::run; // an answer is handed on by the thread that read it
  private static final Set<String> FIELDS =
      Set.of("email_subject", "email_sender", "email_timestream", "email_content");
  private static final JsonFactory JSON = new JsonFactory();
  private static final DateTimeFormatter DAY = utc("yyyy/MM/dd");
  private static final DateTimeFormatter TIME = utc("HHmmss");
  private static final DateTimeFormatter PROCESSED_AT = utc("yyyy-MM-dd'T'HH:mm:ss'Z'");

  private final CompletableFuture<Void> stop = new CompletableFuture<>();
  private final String bucket = System.getenv("S3_BUCKET_NAME");
  private final String queue = System.getenv("SQS_QUEUE_URL");
  private final ReceiveMessageRequest ten =
      ReceiveMessageRequest.builder()
          .queueUrl(queue)
          .maxNumberOfMessages(10)
          .waitTimeSeconds(20)
          .visibilityTimeout(300)
          .messageSystemAttributeNames(MessageSystemAttributeName.ALL)
          .build();
  private final S3AsyncClient s3 =
      S3AsyncClient.builder()
          .forcePathStyle(true)
          .httpClientBuilder(connections(UPLOADS))
          .asyncConfiguration(options -> options.advancedOption(FUTURE_COMPLETION_EXECUTOR, DIRECT))
          .build();
  private final SqsAsyncClient sqs =
      SqsAsyncClient.builder()
          .httpClientBuilder(connections(WORKERS))
          .asyncConfiguration(options -> options.advancedOption(FUTURE_COMPLETION_EXECUTOR, DIRECT))
          .build();

  private record Upload(Message message, CompletableFuture<PutObjectResponse> put) {}

  /** Begin to put one message: its key, and a document with the body as it came. */
  private CompletableFuture<PutObjectResponse> store(Message message) {
    String sender;
    try {
      sender = senderOf(message.body());
    } catch (IOException error) {
      return CompletableFuture.failedFuture(error);
    }
    String local = sender.substring(sender.lastIndexOf('<') + 1).split("@", 2)[0];
    String first = message.attributes().get(MessageSystemAttributeName.APPROXIMATE_FIRST_RECEIVE_TIMESTAMP);
    Instant moment = Instant.ofEpochMilli(Long.parseLong(first));
    String id = message.messageId();
    String key = "emails/" + DAY.format(moment) + "/" + local + "/" + id + "_" + TIME.format(moment) + ".json";
    byte[] document =
        ("{\"message_id\":\"" + id + "\",\"processed_at\":\"" + PROCESSED_AT.format(moment) + "\",\"email_data\":"
            + message.body()
            + ",\"metadata\":{\"processor_version\":\"1.0.0\",\"source\":\"email-validation-service\"}}")
            .getBytes(StandardCharsets.UTF_8);
    PutObjectRequest request =
        PutObjectRequest.builder()
            .bucket(bucket)
            .key(key)
            .contentType("application/json")
            .ifNoneMatch("*")
            .checksumCRC32(checksumOf(document)) // left to the SDK, it would be sent in a chunk behind the body
            .build();
    return s3.putObject(request, AsyncRequestBody.fromBytesUnsafe(document));
  }

  /** The sender of an email; an IOException if it is none. */
  private static String senderOf(String body) throws IOException {
    Set<String> missing = new TreeSet<>(FIELDS);
    String sender = "";
    try (JsonParser parser = JSON.createParser(body)) {
      parser.nextToken();
      while (parser.nextToken() == JsonToken.FIELD_NAME) {
        String name = parser.currentName();
        parser.nextToken();
        if (name.equals("email_sender")) {
          sender = parser.getText();
        }
        missing.remove(name);
        parser.skipChildren();
      }
    }
    if (!missing.isEmpty()) {
      throw new IOException("not an email: it lacks " + missing);
    }
    return sender;
  }

  private static String checksumOf(byte[] document) {
    CRC32 checksum = new CRC32();
    checksum.update(document);
    byte[] bytes = ByteBuffer.allocate(Integer.BYTES).putInt((int) checksum.getValue()).array();
    return Base64.getEncoder().encodeToString(bytes);
  }

  /** Whether the object is there, which it may have been before. */
  private static boolean isStored(Upload upload) {
    try {
      upload.put().join();
    } catch (CompletionException error) {
      if (!(error.getCause() instanceof S3Exception refused) || refused.statusCode() != 412) {
        System.err.println(error.getCause());
        return false;
      }
    }
    return true;
  }

  private void batch() {
    CompletableFuture<ReceiveMessageResponse> receive = sqs.receiveMessage(ten);
    CompletableFuture.anyOf(receive, stop).join();
    if (!receive.isDone()) {
      receive.cancel(true);
      return;
    }
    List<Upload> uploads =
        receive.join().messages().stream().map(message -> new Upload(message, store(message))).toList();
    List<DeleteMessageBatchRequestEntry> entries = new ArrayList<>();
    for (Upload upload : uploads) {
      if (isStored(upload)) {
        Message message = upload.message();
        entries.add(
            DeleteMessageBatchRequestEntry.builder()
                .id(message.messageId())
                .receiptHandle(message.receiptHandle())
                .build());
      }
    }
    if (!entries.isEmpty()) {
      sqs.deleteMessageBatch(request -> request.queueUrl(queue).entries(entries)).join();
    }
  }

  private void work() {
    while (!stop.isDone()) {
      try {
        batch();
      } catch (CompletionException error) {
        System.err.println(error.getCause());
      }
    }
  }

  /** So many at most. Who waits for one may wait long: while the virtual machine is cold, hardly any is free. */
  private static AwsCrtAsyncHttpClient.Builder connections(int most) {
    return AwsCrtAsyncHttpClient.builder().maxConcurrency(most).connectionAcquisitionTimeout(Duration.ofMinutes(1));
  }

  private static DateTimeFormatter utc(String pattern) {
    return DateTimeFormatter.ofPattern(pattern).withZone(ZoneOffset.UTC);
  }

  /** Work until SIGTERM, and see through what was received. */
  public static void main(String[] arguments) throws InterruptedException {
    Peer peer = new Peer();
    Signal.handle(new Signal("TERM"), signal -> peer.stop.complete(null)); // in a shutdown hook AWS's runtime has ended
    List<Thread> workers =
        IntStream.range(0, WORKERS).mapToObj(number -> Thread.ofVirtual().start(peer::work)).toList();
    for (Thread worker : workers) {
      worker.join();
    }
    System.exit(0);
  }
}
