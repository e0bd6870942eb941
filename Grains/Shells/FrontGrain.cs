using Fleet.Protocol.Wire;
using Orleans.Concurrency;

namespace Fleet.Grains.Shells;

/// <summary>Spreads a mixed batch over its objects; holds nothing.</summary>
/// <remarks>
/// Runs of requests for one object and of one kind travel as one vector call. Concurrency: reentrant.
/// </remarks>
[Reentrant, ColocatedPlacement]
internal sealed class FrontGrain(GrainLinks links) : Grain, IFrontGrain
{
    public async ValueTask<FrontReply[]> Submit(FrontRequest[] requests)
    {
        var replies = new FrontReply[requests.Length];
        var lanes = new Dictionary<string, List<int>>(StringComparer.Ordinal);
        for (var i = 0; i < requests.Length; i++)
        {
            var key = requests[i].Key;
            if (!lanes.TryGetValue(key, out var lane))
            {
                lanes.Add(key, lane = []);
            }

            lane.Add(i);
        }

        var pending = new List<Task>(lanes.Count);
        foreach (var (key, lane) in lanes)
        {
            pending.Add(Run(key, lane, requests, replies));
        }

        await Task.WhenAll(pending);
        return replies;
    }

    private async Task Run(string key, List<int> lane, FrontRequest[] requests, FrontReply[] replies)
    {
        for (var from = 0; from < lane.Count;)
        {
            var kind = requests[lane[from]].Kind;
            var to = from + 1;
            while (to < lane.Count && requests[lane[to]].Kind == kind)
            {
                to++;
            }

            var run = lane[from..to];
            switch (kind)
            {
                case FrontRequestKind.Alloc:
                    var allocated = await links.Devices[key]
                        .AllocMany(new(run.ConvertAll(i => requests[i].ToAlloc()).ToArray()));
                    Put(run, i => FrontReply.Of(allocated[i]));
                    break;
                case FrontRequestKind.Free:
                    var freed = await links.Devices[key]
                        .FreeMany(new(run.ConvertAll(i => requests[i].ToFree()).ToArray()));
                    Put(run, i => FrontReply.Of(freed[i]));
                    break;
                default:
                    var accessed = await links.Maps[key]
                        .AccessMany(new(run.ConvertAll(i => requests[i].ToAccess()).ToArray()));
                    Put(run, i => FrontReply.Of(accessed[i]));
                    break;
            }

            from = to;
        }

        void Put(List<int> run, Func<int, FrontReply> reply)
        {
            for (var i = 0; i < run.Count; i++)
            {
                replies[run[i]] = reply(i);
            }
        }
    }
}
