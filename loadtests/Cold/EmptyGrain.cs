using Orleans.Concurrency;

namespace Fleet.LoadTests.Cold;

/// <summary>The floor of an activation: a grain that holds nothing.</summary>
[Alias("loadtests.IEmptyGrain")]
public interface IEmptyGrain : IGrainWithStringKey
{
    [Alias("Touch")]
    ValueTask<int> Touch(int life);
}

/// <summary>Calls grains as a host calls its devices: some at a time, in its own turns.</summary>
[Alias("loadtests.IEmptyHostGrain")]
public interface IEmptyHostGrain : IGrainWithStringKey
{
    /// <summary>Calls every one of its grains; the first time that activates them.</summary>
    /// <param name="grains">How many it has.</param>
    /// <param name="calls">One after another to each.</param>
    [Alias("CallAll")]
    [ResponseTimeout("00:10:00")]
    ValueTask<long> CallAll(int grains, int calls);
}

[Reentrant]
internal sealed class EmptyGrain : Grain, IEmptyGrain
{
    public ValueTask<int> Touch(int life) => new(life);
}

[Reentrant]
internal sealed class EmptyHostGrain : Grain, IEmptyHostGrain
{
    private const int InFlightMax = 32;

    public async ValueTask<long> CallAll(int grains, int calls)
    {
        var (next, done) = (0, 0L);
        await Task.WhenAll(Enumerable.Range(0, Math.Min(InFlightMax, grains)).Select(_ => Work()));
        return done;

        async Task Work()
        {
            while (next < grains)
            {
                var grain = GrainFactory.GetGrain<IEmptyGrain>($"{this.GetPrimaryKeyString()}/{next++:x5}");
                for (var call = 0; call < calls; call++)
                {
                    var touched = await grain.Touch(1);
                    done += touched;
                }
            }
        }
    }
}
