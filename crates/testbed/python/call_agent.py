"""A worker of livekit-agents that answers calls as its users write one. Used by `bench call`.

The project is in LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET; the tenant's backend in
CALL_CONFIG_URL; the model in OPENAI_BASE_URL and OPENAI_API_KEY.
"""

import json
import os

import aiohttp
from livekit import agents, rtc
from livekit.plugins import openai
from openai.types.realtime.realtime_audio_input_turn_detection import ServerVad


async def call_config(room: str, caller: rtc.RemoteParticipant) -> dict:
    """What the tenant's backend says of this call."""
    attributes = dict(caller.attributes)
    question = {
        "tenant": "bench",
        "callDirection": "inbound",
        "callerPhone": attributes.get("sip.phoneNumber"),
        "calledPhone": attributes.get("sip.trunkPhoneNumber"),
        "trunkId": attributes.get("sip.trunkID"),
        "sipCallId": attributes.get("sip.callID"),
        "room": room,
        "attributes": attributes,
    }
    async with aiohttp.ClientSession() as http:
        async with http.post(os.environ["CALL_CONFIG_URL"], json=question) as answer:
            answer.raise_for_status()
            return await answer.json()


async def entrypoint(context: agents.JobContext) -> None:
    await context.connect()
    caller = await context.wait_for_participant(kind=rtc.ParticipantKind.PARTICIPANT_KIND_SIP)
    config = await call_config(context.room.name, caller)
    model = openai.realtime.RealtimeModel(
        model=config["model"],
        voice=config["voice"],
        # As the product has it unless a tenant says otherwise.
        turn_detection=ServerVad(
            type="server_vad", threshold=0.5, prefix_padding_ms=300, silence_duration_ms=500
        ),
    )
    session = agents.AgentSession(llm=model)
    agent = agents.Agent(instructions=config["systemPrompt"])
    await session.start(agent=agent, room=context.room, record=False)
    words = json.dumps(config["startMessage"])
    session.generate_reply(instructions=f"Say exactly the following, and nothing else: {words}")


if __name__ == "__main__":
    agents.cli.run_app(
        agents.WorkerOptions(
            entrypoint_fnc=entrypoint,
            agent_name="livekit-agents",
            port=0,
            # The machine is busy with callers and servers as well, which is no reason to refuse.
            load_fnc=lambda: 0.0,
        )
    )
