using System.Threading.Channels;
using Fleet.Kernel.History;
using Fleet.Protocol.Streams;
using Fleet.Storage.Results;
using Fleet.Storage.Results.Postgres;
using Npgsql;
using NpgsqlTypes;

namespace Fleet.Storage.Cluster;

/// <summary>
/// A newer incarnation of the object exists: this one must stop, and nothing of the group was stored.
/// </summary>
public sealed class StaleIncarnationException(string name, int gen)
    : Exception($"Incarnation {gen} of {name} is stale: the database knows a newer one.")
{
    public string Name { get; } = name;

    public int Gen { get; } = gen;
}

/// <summary>Numbers and fences incarnations in PostgreSQL, and stores their events with their transitions.</summary>
/// <remarks>
/// The database decides: a transition of an incarnation that is not the newest raises an error there. What callers ask
/// while one commit is under way goes together into the next (group commit), at most 512 groups.
/// Concurrency: any thread.
/// </remarks>
public sealed class PostgresLifecycle : ILifecycleLog, IIncarnations, IAsyncDisposable
{
    /// <summary>Stripe of the batches that come from here and not from a spool.</summary>
    private const int LifecycleStripe = -1;
    private const int GroupsMax = 512;
    private const string StaleState = "FL001";

    private readonly NpgsqlDataSource _source;
    private readonly PostgresRunWriter _writer;
    private readonly ObjectTable _objects;
    private readonly string _scope;
    private readonly int _proc;
    private readonly Channel<Group> _groups = Channel.CreateBounded<Group>(8 * GroupsMax);
    private readonly Channel<Asked> _asked = Channel.CreateBounded<Asked>(8 * GroupsMax);
    private readonly Task _commits;
    private readonly Task _numbers;
    private long _batch;
    private long _events;

    private PostgresLifecycle(
        NpgsqlDataSource source, PostgresRunWriter writer, string scope, ObjectTable objects, int proc)
    {
        _source = source;
        _writer = writer;
        _scope = scope;
        _objects = objects;
        _proc = proc;
        _commits = Task.Run(CommitLoopAsync);
        _numbers = Task.Run(NumberLoopAsync);
    }

    /// <summary>Events that were made durable and said to be.</summary>
    public long Events => Interlocked.Read(ref _events);

    /// <param name="store">A PostgreSQL store.</param>
    /// <param name="writer">The run that the events belong to, of the same store.</param>
    /// <param name="scope">Objects of equal names in one scope are the same object: a run, or a cluster that outlives
    /// runs.</param>
    /// <param name="proc">Number of this process in the run; nobody else stores lifecycle events under it.</param>
    /// <exception cref="StorageException">The store is not PostgreSQL.</exception>
    public static PostgresLifecycle Open(
        IResultStore store, IRunWriter writer, string scope, ObjectTable objects, int proc) =>
        store is PostgresResultStore postgres && writer is PostgresRunWriter run
            ? new(postgres.Source, run, scope, objects, proc)
            : throw new StorageException("Incarnations are fenced by PostgreSQL; the store is a directory.");

    public async ValueTask<int> NextAsync(string name)
    {
        var asked = new Asked(name);
        await _asked.Writer.WriteAsync(asked);
        return await asked.Done.Task;
    }

    /// <exception cref="StaleIncarnationException">A newer incarnation exists; nothing of the group is
    /// stored.</exception>
    public async ValueTask CommitAsync(IReadOnlyList<HistoryEvent> events)
    {
        if (events.Count == 0)
        {
            return;
        }

        var group = new Group([.. events]);
        await _groups.Writer.WriteAsync(group);
        await group.Done.Task;
    }

    public async ValueTask DisposeAsync()
    {
        _groups.Writer.TryComplete();
        _asked.Writer.TryComplete();
        await Task.WhenAll(_commits, _numbers);
    }

    private async Task NumberLoopAsync()
    {
        var batch = new List<Asked>();
        while (await _asked.Reader.WaitToReadAsync())
        {
            batch.Clear();
            var names = new HashSet<string>(StringComparer.Ordinal);
            while (batch.Count < GroupsMax && _asked.Reader.TryPeek(out var next) && names.Add(next.Name)
                && _asked.Reader.TryRead(out var taken))
            {
                batch.Add(taken);
            }

            try
            {
                // Asked twice after a lost answer it counts twice: a gap in the numbers, which fences all the same.
                var numbers = await _writer.PatientlyAsync(token => NumberAsync(names, token), CancellationToken.None);
                batch.ForEach(a => a.Done.SetResult(numbers[a.Name]));
            }
            catch (Exception e)
            {
                batch.ForEach(a => a.Done.TrySetException(e));
            }
        }
    }

    private async Task<Dictionary<string, int>> NumberAsync(IEnumerable<string> names, CancellationToken ct)
    {
        await using var command = _source.CreateCommand("SELECT name, gen FROM next_incarnations($1, $2)");
        command.Parameters.Add(new NpgsqlParameter { Value = _scope });
        command.Parameters.Add(
            new NpgsqlParameter { Value = names.ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text });
        await using var rows = await command.ExecuteReaderAsync(ct);
        var numbers = new Dictionary<string, int>(StringComparer.Ordinal);
        while (await rows.ReadAsync(ct))
        {
            numbers.Add(rows.GetString(0), rows.GetInt32(1));
        }

        return numbers;
    }

    private async Task CommitLoopAsync()
    {
        var groups = new List<Group>();
        var batch = new HistoryBatch(_objects, _proc);
        while (await _groups.Reader.WaitToReadAsync())
        {
            groups.Clear();
            while (groups.Count < GroupsMax && _groups.Reader.TryRead(out var next))
            {
                groups.Add(next);
            }

            await CommitAsync(groups, batch);
        }
    }

    private async Task CommitAsync(List<Group> groups, HistoryBatch batch)
    {
        while (groups.Count > 0)
        {
            batch.Clear();
            groups.ForEach(g => batch.Events.AddRange(g.Events));
            batch.Stretches.Add(new SpoolStretch(_proc, LifecycleStripe, ++_batch, 0, batch.Events.Count));
            try
            {
                await _writer.AppendAsync(batch, () => TransitionOf(groups), CancellationToken.None);
                Interlocked.Add(ref _events, batch.Events.Count);
                groups.ForEach(g => g.Done.SetResult());
                return;
            }
            catch (PostgresException e) when (e.SqlState == StaleState)
            {
                // The whole transaction was rolled back; the stale object goes, the others try again without it.
                var stale = groups.Where(g => _objects.Name(g.At.Obj) == e.Detail).ToList();
                if (stale.Count == 0)
                {
                    groups.ForEach(g => g.Done.SetException(e));
                    return;
                }

                stale.ForEach(g => g.Done.SetException(new StaleIncarnationException(e.Detail!, g.At.Gen)));
                groups.RemoveAll(stale.Contains);
            }
            catch (Exception e)
            {
                groups.ForEach(g => g.Done.TrySetException(e));
                return;
            }
        }
    }

    private NpgsqlBatchCommand TransitionOf(List<Group> groups)
    {
        // One transition for each object and incarnation, in one order whoever commits.
        var last = groups.GroupBy(g => (Name: _objects.Name(g.At.Obj), g.At.Gen))
            .Select(g => (g.Key.Name, g.Key.Gen, Seq: g.Max(x => x.Events[^1].At.Seq)))
            .OrderBy(t => t.Name, StringComparer.Ordinal).ThenBy(t => t.Gen).ToList();
        var insert = new NpgsqlBatchCommand(
            "INSERT INTO transitions (scope, name, gen, seq) SELECT $1, n, g, s FROM unnest($2, $3, $4) AS t(n, g, s)");
        insert.Parameters.Add(new NpgsqlParameter { Value = _scope });
        insert.Parameters.Add(
            new NpgsqlParameter
            {
                Value = last.Select(t => t.Name).ToArray(),
                NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text
            });
        insert.Parameters.Add(
            new NpgsqlParameter
            {
                Value = last.Select(t => t.Gen).ToArray(),
                NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Integer
            });
        insert.Parameters.Add(
            new NpgsqlParameter
            {
                Value = last.Select(t => t.Seq).ToArray(),
                NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint
            });
        return insert;
    }

    private sealed class Group(HistoryEvent[] events)
    {
        public HistoryEvent[] Events => events;

        public Position At => events[0].At;

        public TaskCompletionSource Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private sealed class Asked(string name)
    {
        public string Name => name;

        public TaskCompletionSource<int> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
