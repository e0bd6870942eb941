using Fleet.Protocol.Wire;

namespace Fleet.Grains;

/// <summary>
/// Takes mixed batches for many devices where those devices are; key = a device's <c>host/bdf</c>, or any bucket.
/// </summary>
[Alias("fleet.IFrontGrain")]
public interface IFrontGrain : IGrainWithStringKey
{
    /// <summary>Hands each request to its object by local calls; those for one object stay in order.</summary>
    /// <returns>One answer for each request, in the same place.</returns>
    [Alias("Submit")]
    ValueTask<FrontReply[]> Submit([Immutable] FrontRequest[] requests);
}
