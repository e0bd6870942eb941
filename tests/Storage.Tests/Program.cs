using Fleet.Kernel.History;
using Fleet.Storage.Results;
using Fleet.Storage.Spool;

namespace Fleet.Storage.Tests;

/// <summary>
/// A process that writes a spool as fast as it can, and says what it has written, until it is killed. With a store and
/// a run it drains the spool as well.
/// </summary>
internal static class Program
{
    public static async Task<int> Main(string[] args)
    {
        var objects = Samples.Objects();
        var spool = SpoolWriter.Create(
            new SpoolOptions(args[0], "killed", 1, "victim", "c")
            {
                SegmentBytes = 1 << 20,
                Stripes = args.Length == 1 ? 2 : 1,
                BoundBytes = 64 << 20,
            },
            objects);
        if (args.Length == 1)
        {
            await WriteAsync(spool, objects);
            return 0;
        }

        await using var store = await ResultStores.OpenAsync(StoreAddress.Parse(args[1]), default);
        await using var writer = await store.ResumeRunAsync(args[2], default);
        await using var drain = SpoolDrain.Start(spool, writer);
        await WriteAsync(spool, objects);
        return 0;
    }

    private static Task WriteAsync(SpoolWriter spool, ObjectTable objects) => Task.WhenAll(
        Enumerable.Range(0, 2).Select(t => Task.Factory.StartNew(
            () => Write(spool, objects, t), CancellationToken.None, TaskCreationOptions.LongRunning,
            TaskScheduler.Default)));

    private static void Write(SpoolWriter spool, ObjectTable objects, int thread)
    {
        var numbers = spool.OpenClient(objects.Intern($"client:{thread}"), 9);
        for (var i = 1; ; i++)
        {
            spool.WaitForRoomAsync(default).AsTask().GetAwaiter().GetResult();
            var number = numbers.Next();
            spool.Append(new Operation { Number = number, Client = numbers.Client, Session = 9, DoneNs = i });
            spool.AppendEvents(
                [new HistoryEvent { Kind = EventKind.RefKill, At = new Position(2, thread + 1, i, 1), Proc = 1 }]);
            if (i % 1000 == 0)
            {
                Console.Out.WriteLine($"{thread} {i}"); // Acknowledged: these must be found again.
            }
        }
    }
}
