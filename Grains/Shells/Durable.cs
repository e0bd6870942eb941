using Fleet.Protocol.Streams;

namespace Fleet.Grains.Shells;

/// <summary>
/// Lets an answer leave when everything up to its position is durable: a crash would otherwise take an earlier position
/// away and leave a later one in the client's record.
/// </summary>
internal static class Durable
{
    public static ValueTask<TReply> ReplyAsync<TReply>(ObjectLog log, ValueTask<TReply> reply) =>
        reply.IsCompletedSuccessfully && log.IsSettled ? reply : CommittedAsync(log, reply);

    public static ValueTask<TReply> ReplyAsync<TReply>(ObjectLog log, TReply reply) =>
        log.IsSettled ? new(reply) : CommittedAsync(log, new ValueTask<TReply>(reply));

    private static async ValueTask<TReply> CommittedAsync<TReply>(ObjectLog log, ValueTask<TReply> reply)
    {
        var answer = await reply;
        await log.CommitAsync();
        return answer;
    }
}
